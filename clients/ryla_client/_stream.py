"""A job's progress over connections that end: by themselves, by the server, or by accident."""

import json
from collections.abc import Iterator

from ryla_client._answers import problem
from ryla_client._calls import Broken, Call, Reply, about
from ryla_client._core import Core
from ryla_client._jobs import Job, read_job
from ryla_client._sse import Parser

QUIET_SECONDS = 60.0
"""Longest silence; the server sends a comment more often than that."""
PAUSE = 1.0
"""Seconds before the next connection, unless the server says."""


class Stream:
    """What is known between two connections. The clients make them and feed what they read."""

    def __init__(self, core: Core, job: Job, last_event_id: str | None) -> None:
        self.over = False
        self._core = core
        self._job = job
        self._parser = Parser(last_event_id)
        self._failures = 0
        self._failing_since = 0.0
        self._next: float | None = None

    def call(self) -> Call:
        """The next connection's request."""
        self._parser.reconnect()
        self._next = None
        headers = {"Accept": "text/event-stream"}
        if self._parser.last_id is not None:
            headers["Last-Event-ID"] = self._parser.last_id
        return about(self._job, path="/events", headers=headers, wait=QUIET_SECONDS)

    def feed(self, chunk: bytes) -> Iterator[Job]:
        """The job at each event that this chunk completes."""
        self._failures = 0
        for event in self._parser.feed(chunk):
            job = read_job(_document(event.data), self._job.idempotency_key)
            if job is not None:
                self.over = job.finished
                yield job

    def ended(self, reply: Reply) -> None:
        """There was no stream. Raises unless it may be asked for again."""
        if reply.status == 204:
            self.over = True  # the last event seen was the end
        else:
            self._failed(reply)

    def broke(self, broken: Broken) -> None:
        """Raises when it has been failing for too long."""
        self._failed(broken)

    def pause(self) -> float:
        """Seconds before the next connection."""
        if self._next is not None:
            return self._next
        return PAUSE if self._parser.retry is None else self._parser.retry

    def _failed(self, reply: Reply | Broken) -> None:
        now = self._core.now()
        if self._failures == 0:
            self._failing_since = now
        self._failures += 1
        self._next = self._core.pause_before_next(reply, self._failures, now - self._failing_since)
        if self._next is None:
            raise problem(self.call(), reply)


def _document(data: str) -> object:
    try:
        return json.loads(data)
    except ValueError:
        return None
