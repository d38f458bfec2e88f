"""The workers of one route in virtual time: started when jobs come, kept while idle, as an engine
and a platform do it. Pure.

A job that finds no idle worker has one started, up to `most`; whoever is free first takes the job
that has waited longest for a worker. A worker that had nothing to do for `idle_s` ends.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from pipeline.forecast.expected_job import ExpectedJob

At = Callable[[float, Callable[[], None]], None]
"""Has something done after so many seconds."""


@dataclass
class Tally:
    """What the workers of a route on a platform did, in seconds."""

    jobs: int = 0
    pictures: int = 0
    working_s: float = 0.0
    """Of all workers together, as are the other two."""
    cold_s: float = 0.0
    idle_s: float = 0.0
    """Between jobs, and until the worker ended."""
    starts: int = 0
    most_workers: int = 0
    """At one time."""
    lora_switches: int = 0
    """Jobs with a LoRA whose worker had another one, or none."""
    overflowed: int = 0
    """Jobs that came from another platform, where nobody started them in time."""
    finished_s: float = 0.0
    """When the last job ended."""

    @property
    def gpu_s(self) -> float:
        """That are paid for."""
        return self.working_s + self.cold_s + self.idle_s


@dataclass(eq=False)  # two that have done the same are not one
class _Worker:
    lora: str | None = None
    idle_since: float = 0.0


@dataclass
class Crew:
    most: int
    idle_s: float
    start_s: float
    seconds: Callable[[ExpectedJob], float]
    """That a warm worker takes."""
    ended: Callable[[ExpectedJob], None]
    """Called when a job has ended."""
    started: Callable[[ExpectedJob], None]
    """Called when a worker begins a job."""
    now: Callable[[], float]
    at: At
    tally: Tally = field(default_factory=Tally)
    _queue: deque[ExpectedJob] = field(default_factory=deque)
    _idle: list[_Worker] = field(default_factory=list)
    _starting: int = 0
    _up: int = 0

    def put(self, job: ExpectedJob) -> None:
        """A job that was claimed."""
        self._queue.append(job)
        if self._idle:
            self._rouse(self._idle.pop())
        elif self._starting < len(self._queue) and self._up < self.most:
            self._start()

    def give_up(self, job: ExpectedJob) -> None:
        """A job that goes to another platform. Whatever was started for it goes on."""
        self._queue.remove(job)

    def _start(self) -> None:
        self._starting += 1
        self._up += 1
        self.tally.starts += 1
        self.tally.cold_s += self.start_s
        self.tally.most_workers = max(self.tally.most_workers, self._up)
        self.at(self.start_s, self._ready)

    def _ready(self) -> None:
        self._starting -= 1
        self._take(_Worker())

    def _rouse(self, worker: _Worker) -> None:
        self.tally.idle_s += self.now() - worker.idle_since
        self._take(worker)

    def _take(self, worker: _Worker) -> None:
        if not self._queue:
            self._wait(worker)
            return
        job = self._queue.popleft()
        self.started(job)
        seconds = self.seconds(job)
        self.tally.working_s += seconds
        self.tally.lora_switches += job.lora not in (None, worker.lora)
        worker.lora = job.lora or worker.lora
        self.at(seconds, lambda: self._end(worker, job))

    def _end(self, worker: _Worker, job: ExpectedJob) -> None:
        self.tally.jobs += 1
        self.tally.pictures += job.pictures
        self.tally.finished_s = self.now()
        self.ended(job)
        self._take(worker)

    def _wait(self, worker: _Worker) -> None:
        since = worker.idle_since = self.now()
        self._idle.append(worker)

        def unload() -> None:
            if worker in self._idle and worker.idle_since == since:
                self._idle.remove(worker)
                self._up -= 1
                self.tally.idle_s += self.idle_s

        self.at(self.idle_s, unload)
