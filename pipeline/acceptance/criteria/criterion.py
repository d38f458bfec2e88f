"""What is judged, and how a judgement is told."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import Any

from handlers.comfyui.info import STANDIN
from pipeline.acceptance.http import Answer, Health
from pipeline.acceptance.jobs import Job, Stage
from pipeline.contract.result import Result, Status
from pipeline.pages.figure_text import NOTHING
from pipeline.report.series import rounded


class Verdict(StrEnum):
    PASS = "pass"
    FAIL = "fail"
    NOT_RUN = "not run"
    NO_EVIDENCE = "no evidence"
    """The stand-in made it: no model ran, so that it shows nothing."""


@dataclass(frozen=True)
class Outcome:
    """What became of a job."""

    job: Job
    result: Result | None
    why: str = "no result"
    """There is none."""

    @property
    def succeeded(self) -> bool:
        return self.result is not None and self.result.status is Status.SUCCEEDED

    @property
    def fault(self) -> str | None:
        """Why it made no picture; None for one that did, or that has no result yet."""
        if self.result is None or self.succeeded:
            return None
        error = self.result.error
        return f"{self.job.id} {self.result.status}" + (f" ({error.code})" if error else "")


@dataclass(frozen=True)
class Facts:
    """All that a run has seen."""

    outcomes: Sequence[Outcome] = ()
    """Those of the comparison of GPUs apart."""
    at_once: int = 2
    """Jobs on their way at a time."""
    health: Health | None = None
    """None where no URL was given; as are `answers`."""
    answers: Sequence[Answer] | None = None
    deploys: Mapping[str, bool] = field(default_factory=dict)
    """Version → whether its event is known to have arrived, of those that were announced."""

    def of(self, stage: Stage, subject: str | None = None) -> list[Outcome]:
        """Of a stage, and of a subject in it where one is given; in the order in which they were
        sent."""
        return [
            each
            for each in self.outcomes
            if each.job.stage is stage and subject in (None, each.job.subject)
        ]

    @cached_property
    def results(self) -> list[Result]:
        return [each.result for each in self.outcomes if each.result is not None]

    @property
    def standin(self) -> bool:
        made_by = (each.provenance for each in self.results)
        return any(each.engine == STANDIN for each in made_by if each is not None)

    @property
    def engines(self) -> set[str]:
        """Where jobs ran, by their events: `modal`, `local`, or the stand-in."""
        return {
            str(event.properties["engine"])
            for result in self.results
            if result.metrics is not None
            for event in result.events[-1:]
            if "engine" in event.properties
        }


@dataclass(frozen=True)
class Criterion:
    """One criterion of the requirements, judged."""

    name: str
    target: str
    """As the requirements have it."""
    verdict: Verdict
    figure: str = NOTHING
    """As text, with its unit."""
    value: float | None = None
    """The figure as a number, where it is one."""
    why: str = ""
    """Of a verdict that is not `pass`."""
    parts: Sequence[tuple[str, str]] = ()
    """Further figures."""
    jobs: Sequence[str] = ()
    keys: Sequence[str] = ()
    """Evidence in the bucket: pictures first."""
    measured: bool = False
    """Whether the figure says something of a model or a machine, which the stand-in is not."""

    def document(self) -> dict[str, Any]:
        return {
            "criterion": self.name,
            "target": self.target,
            "verdict": self.verdict,
            "figure": self.figure,
            "value": rounded(self.value),
            "why": self.why or None,
            "parts": dict(self.parts),
            "jobs": list(self.jobs),
            "keys": list(self.keys),
        }


def not_run(name: str, target: str, why: str) -> Criterion:
    """A criterion that nothing could be seen of; `why` says what it would take."""
    return Criterion(name, target, Verdict.NOT_RUN, why=why)


def pictures(outcomes: Iterable[Outcome]) -> list[str]:
    """Their keys."""
    return [output.key for each in outcomes if each.result for output in each.result.outputs]


def ids(outcomes: Iterable[Outcome]) -> list[str]:
    """Of jobs over HTTP the id that the server made, where it is known."""
    return [each.result.id if each.result else each.job.id for each in outcomes]


def faults(outcomes: Iterable[Outcome]) -> str:
    """Of those that ended without a picture, in words; empty when there are none."""
    return several([each.fault for each in outcomes if each.fault])


def unfinished(outcomes: Iterable[Outcome]) -> str:
    """How many have no result, in words; empty when all have one."""
    found = [each for each in outcomes if each.result is None]
    return f"{len(found)} jobs have no result: {found[0].why}" if found else ""


def several(texts: Sequence[str], most: int = 5) -> str:
    """Each once, with how often it was there."""
    counts = Counter(texts).items()
    shown = [f"{text} ({count} times)" if count > 1 else text for text, count in counts]
    more = f" and {len(shown) - most} more" if len(shown) > most else ""
    return ", ".join(shown[:most]) + more
