"""The jobs that wait in virtual time. Pure.

`admit` sorts all that it is given. Jobs of one route, tenant, priority and LoRA are served by age
alone, so only as many of them as their route has free slots can be admitted: the others need not be
looked at, and a forecast of ten thousand jobs takes seconds.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice

from pipeline.forecast.expected_job import ExpectedJob
from pipeline.queue.admission import Slots, Waiting

Equals = tuple[str, str | None, int, tuple[str, ...]]


@dataclass
class Inbox:
    _by_equals: dict[Equals, deque[ExpectedJob]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return any(self._by_equals.values())

    def add(self, job: ExpectedJob) -> None:
        """Younger than all that were added before."""
        self._by_equals.setdefault(_equals(job), deque()).append(job)

    def first(self, slots: Slots) -> dict[str, ExpectedJob]:
        """By id, all that can be admitted."""
        return {job.id: job for job in self._first(slots)}

    def _first(self, slots: Slots) -> Iterator[ExpectedJob]:
        for jobs in self._by_equals.values():
            if jobs:
                yield from islice(jobs, slots.of(jobs[0].kind))

    def remove(self, job: ExpectedJob) -> None:
        self._by_equals[_equals(job)].remove(job)


def _equals(job: ExpectedJob) -> Equals:
    waiting: Waiting = job.waiting
    loras = () if waiting.contents is None else waiting.contents.loras
    return (job.kind, waiting.tenant, waiting.name.priority, loras)
