"""A worker as a RunPod container holds it: `python -m pipeline.runpod_app.runpod_worker`.

The `runpod` package takes jobs one after the other and returns what the handler returns. Its event
loop must go on while a job runs, or it hears of no stop; so the job runs in a thread. What the
platform makes of a job says nothing of ours: the lease and the result do.
"""

import asyncio
import logging
import multiprocessing
import os
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import mkdtemp
from types import FrameType
from typing import Any

import structlog

from system.process_start import born_at  # first of ours: a cold start is measured from here

# isort: split
from config.errors import InvalidSetting
from config.logs import configure_logs
from config.platforms import RUNPOD
from config.routes import load_routes
from config.settings import Settings, load_settings, variable
from pipeline.contract.lease import Lease
from pipeline.engines.runpod import call_id
from pipeline.loras.eviction import LoraEviction
from pipeline.modal_app.modal_worker import limited
from pipeline.worker.worker import Worker

Job = Mapping[str, Any]
"""As the package gives it: `id`, `input`."""
ProgressUpdate = Callable[[Any, Any], None]
"""The package's `progress_update`: the job, and anything that JSON has."""


class JobHandler:
    """What the package calls. One job at a time, whatever it is asked."""

    def __init__(
        self, settings: Settings, route: str, environ: Mapping[str, str], tell: ProgressUpdate
    ) -> None:
        """Raises InvalidSetting."""
        self.worker = Worker(
            limited(settings, load_routes(settings.routes_file).route(route)),
            route,
            platform=RUNPOD,
            environ=environ,
            work_dir=Path(mkdtemp(prefix=f"ryla-{route}-")),
            born=born_at(),
            on_renewal=self._tell_progress,
        )
        self._endpoint = environ.get("RUNPOD_ENDPOINT_ID", "")
        self._tell = tell
        self._loras = LoraEviction.of(settings)
        self._job: Job | None = None
        self._turn = asyncio.Lock()
        self._theirs: Any = None
        """The package's own handler of SIGTERM."""

    async def handle(self, job: Job) -> dict[str, Any]:
        """What became of the job, for the platform's own pages."""
        async with self._turn:
            running = asyncio.ensure_future(asyncio.to_thread(self._run, job))
            try:
                return await asyncio.shield(running)
            except asyncio.CancelledError:
                # The platform gave the job up. If it is cancelled in the bucket too, its worker
                # learns it from the lease; no other job begins beside it.
                await asyncio.wait([running])
                raise

    def _run(self, job: Job) -> dict[str, Any]:
        self._job = job
        try:
            reply = self.worker.run(job["input"], call_id(self._endpoint, job["id"]))
        finally:
            self._job = None
        self._loras.tidy()
        # A dictionary with `error` would count as a failure, and be run again by some.
        told = {name: value for name, value in reply.items() if name != "error"}
        return told if self.worker.fit else {**told, "refresh_worker": True}

    def _tell_progress(self, lease: Lease) -> None:
        if self._job is not None and lease.progress is not None:
            self._tell(self._job, lease.progress.model_dump(mode="json"))

    def concurrency(self, current: int) -> int:
        """How many jobs the loop may hold, which it asks before it takes one: none once the worker
        is unfit, or has to end."""
        self._listen()
        return min(current, 1) if self.worker.fit else 0

    def _listen(self) -> None:
        """At SIGTERM the running job is handed back. The package's own handler ends the loop."""
        theirs = signal.getsignal(signal.SIGTERM)
        if theirs == self._end:
            return
        self._theirs = theirs
        signal.signal(signal.SIGTERM, self._end)

    def _end(self, number: int, frame: FrameType | None) -> None:
        self.worker.interrupt()
        if callable(self._theirs):
            self._theirs(number, frame)


def main() -> None:
    """Serve the jobs of the route that the endpoint's environment names, until SIGTERM."""
    import runpod  # noqa: PLC0415  on the platform alone

    settings = load_settings(os.environ)
    configure_logs(settings)
    logging.getLogger("httpx").setLevel(logging.WARNING)  # the package lets all tell all
    # Forked, the process that pings could wait for ever for a lock of one of our threads.
    multiprocessing.set_start_method("spawn")
    handler = JobHandler(settings, _route(settings), os.environ, runpod.serverless.progress_update)
    try:
        handler.worker.load()
        handler.worker.attach()
        runpod.serverless.start(
            {"handler": handler.handle, "concurrency_modifier": handler.concurrency}
        )
    finally:
        handler.worker.close()
        structlog.get_logger(__name__).info("worker_ended")


def _route(settings: Settings) -> str:
    if settings.runpod_route is None:
        name = variable("runpod_route")
        raise InvalidSetting(
            f"{name} is not set",
            field=name,
            hint="Set it in the endpoint's environment, such as Flux.",
        )
    return settings.runpod_route


if __name__ == "__main__":
    main()
