"""Every call as a flow: a generator that asks for requests and pauses and is told how they went.

Nothing here sends, sleeps or writes. `Client` and `AsyncClient` do, each in its way, so that both
decide alike.
"""

import os
import random
import uuid
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from ryla_client._answers import decoded, job_in, job_of, problem
from ryla_client._calls import (
    Broken,
    Call,
    Flow,
    Pause,
    Reply,
    Send,
    Write,
    about,
    submission,
    waiting,
)
from ryla_client._errors import Conflict, Details, StillRunning, UnexpectedAnswer
from ryla_client._jobs import Job, check_succeeded
from ryla_client._retry import REPEATED, Retries, retry_after
from ryla_client.requests import Request as JobRequest

LONGEST_WAIT = 50.0
"""Seconds that one request waits at most: proxies in between end those of a minute."""
ASK_EVERY = 1.0
"""Seconds between questions to a server that answers at once, although it was to wait."""


class Core:
    """The flows of a client's calls."""

    def __init__(
        self,
        retries: Retries,
        clock: Callable[[], float],
        jitter: Callable[[], float] = random.random,
        new_key: Callable[[], str] = lambda: str(uuid.uuid4()),
    ) -> None:
        self.retries = retries
        self._clock = clock
        self._jitter = jitter
        self._new_key = new_key

    def now(self) -> float:
        """Seconds of the clock that retries are counted by."""
        return self._clock()

    def answer(self, call: Call) -> Flow[Reply]:
        """The good answer to a call that is repeated as `retries` allows. Raises RylaError."""
        began, tries = self._clock(), 0
        while True:
            reply = yield Send(call)
            tries += 1
            if isinstance(reply, Reply) and 200 <= reply.status < 300:
                return reply
            assert reply is not None
            pause = self.pause_before_next(reply, tries, self._clock() - began)
            if pause is None:
                raise problem(call, reply)
            yield Pause(pause)

    def pause_before_next(self, reply: Reply | Broken, tries: int, spent: float) -> float | None:
        """Seconds until the next try, or None if this was the last one."""
        asked = None
        if isinstance(reply, Reply):
            if reply.status not in REPEATED:
                return None
            asked = retry_after(reply.headers)
        return self.retries.pause(tries, spent, asked, self._jitter())

    def json(self, path: str) -> Flow[dict[str, Any]]:
        call = Call("GET", path)
        return decoded(call, (yield from self.answer(call)))

    def jobs(self) -> Flow[list[Job]]:
        """Page by page."""
        found: list[Job] = []
        after: str | None = ""
        while after is not None:
            call = Call("GET", f"/jobs?{urlencode({'after': after})}" if after else "/jobs")
            reply = yield from self.answer(call)
            page = decoded(call, reply)
            found += [job_in(call, reply, each) for each in page.get("jobs", [None])]
            after = page.get("next")
        return found

    def submit(self, request: JobRequest, key: str | None, wait: float = 0.0) -> Flow[Job]:
        """`wait` is in seconds, as everywhere here. Without a `key` a new one is made, so that a
        repeated try stays one job."""
        key = self._new_key() if key is None else key
        call = submission(request, key, wait)
        return job_of(call, (yield from self.answer(call)))

    def job(self, job: Job, wait: float = 0.0) -> Flow[Job]:
        """As it stands when it is finished, or after `wait` seconds."""
        call = about(job, headers=waiting(wait), wait=wait)
        return job_of(call, (yield from self.answer(call)))

    def cancel(self, job: Job) -> Flow[Job]:
        """The job as it then is, also where it was finished before."""
        call = about(job, "DELETE")
        try:
            return job_of(call, (yield from self.answer(call)))
        except Conflict:  # it was finished first, perhaps by a try whose answer was lost
            return (yield from self.job(job))

    def wait(self, job: Job, timeout: float, since: float | None = None) -> Flow[Job]:
        """The finished job. Raises StillRunning when `timeout` seconds were not enough."""
        until = (self._clock() if since is None else since) + timeout
        while not job.finished:
            asked = self._clock()
            now = yield from self.job(job, max(0.0, min(LONGEST_WAIT, until - asked)))
            job = replace(now, estimate=job.estimate, warnings=job.warnings)
            if not job.finished:
                if self._clock() >= until:
                    raise _still_running(job, timeout)
                next_ask = min(asked + ASK_EVERY, until)
                yield Pause(max(0.0, next_ask - self._clock()))
        return job

    def generate(self, request: JobRequest, key: str | None, timeout: float) -> Flow[Job]:
        """The job, succeeded. Raises JobEnded, StillRunning."""
        began = self._clock()
        job = yield from self.submit(request, key, min(LONGEST_WAIT, timeout))
        return check_succeeded((yield from self.wait(job, timeout, began)))

    def output(self, job: Job, number: int) -> Flow[Reply]:
        """The file of this number, from 0."""
        return (yield from self.answer(about(job, "GET", f"/outputs/{number}")))

    def file(self, job: Job, name: str) -> Flow[Reply]:
        return (yield from self.answer(about(job, "GET", f"/files/{quote(name, safe='')}")))

    def save(self, job: Job, to: str | os.PathLike[str]) -> Flow[list[Path]]:
        """Every output in a file of its own, and into a folder its further files too. Raises
        JobEnded for a job without."""
        if not job.finished:
            job = yield from self.job(job)
        paths = []
        for number, output in enumerate(check_succeeded(job).result["outputs"]):
            reply = yield from self.output(job, number)
            if len(reply.body) != output["bytes"]:
                raise UnexpectedAnswer(
                    f"output {number} has {len(reply.body)} bytes, not {output['bytes']}",
                    Details(job_id=job.id),
                )
            paths.append(target(to, number, output["key"], job.id))
            yield Write(paths[-1], reply.body)
        if is_folder(to):
            for file in job.result.get("files", ()):
                reply = yield from self.file(job, file["name"])
                paths.append(Path(to) / f"{job.id}-{Path(file['name']).name}")
                yield Write(paths[-1], reply.body)
        return paths


def is_folder(to: str | os.PathLike[str]) -> bool:
    return os.fspath(to).endswith(("/", os.sep)) or Path(to).is_dir()


def target(to: str | os.PathLike[str], number: int, key: str, id: str) -> Path:
    """Where an output goes: `to` itself, then `to` with -2, -3, …; in a folder, by its own name."""
    path = Path(to)
    if is_folder(to):
        return path / f"{id}-{Path(key).name}"
    return path if number == 0 else path.with_stem(f"{path.stem}-{number + 1}")


def _still_running(job: Job, timeout: float) -> StillRunning:
    return StillRunning(
        f"the job {job.id} was not finished within {timeout:g} s",
        Details(
            hint="It goes on: wait for it again by its id, or cancel it.",
            idempotency_key=job.idempotency_key,
            job_id=job.id,
        ),
    )
