"""The requirements' metrics, and how results stand against their targets. Pure.

docs/report.md has the definitions in words; docs/posthog.md has the same ones over events.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from events.catalogue import LoraLoaded, LoraLoadFailed
from handlers.faces.match import Reason
from pipeline.contract.result import Output, Result, Status
from pipeline.report.series import Series, rounded

MATCH = 0.85
"""Least match of a face that counts as the same person."""
SUCCESS = 0.95
"""More than this share of jobs must succeed, of those that succeeded or failed."""
SECONDS = 30.0
"""A picture and a response must take less, in the mean."""
USD = 0.50
"""A picture must cost less, in the mean and at the 95th percentile."""


class TargetVerdict(StrEnum):
    MET = "met"
    MISSED = "missed"
    NO_DATA = "no data"
    NO_EVIDENCE = "no evidence"
    """Made by the stand-in, where no model runs."""


class Unit(StrEnum):
    SHARE = "share"
    """0 to 1; shown in percent."""
    SECONDS = "seconds"
    USD = "usd"
    MATCH = "match"
    """0 to 1."""


@dataclass(frozen=True)
class Metric:
    name: str
    unit: Unit
    figure: float | None
    """In its unit; None without data."""
    n: int
    """What it is told from."""
    of: str
    """What `n` counts."""
    target: str = ""
    """In words; empty for a figure that has none."""
    verdict: TargetVerdict | None = None

    def document(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "unit": self.unit,
            "figure": rounded(self.figure),
            "n": self.n,
            "of": self.of,
            "target": self.target or None,
            "verdict": self.verdict,
        }


@dataclass
class Faces:
    matches: Series = field(default_factory=Series)
    """From 0 to 1."""
    above: int = 0
    """With a match of at least MATCH."""
    without_baseline: int = 0
    """A similarity was measured, and nothing says what it means for this person."""
    unmeasured: Counter[str] = field(default_factory=Counter)
    """Without a match for another reason, such as `no_face`."""

    def add(self, output: Output) -> None:
        face = output.face
        if face is None:
            if output.face_reason is not None:
                self.unmeasured[output.face_reason] += 1
        elif face.counted_match is not None:
            self.matches.add(face.counted_match)
            self.above += face.counted_match >= MATCH
        elif face.reason in (None, Reason.BASELINE_UNKNOWN):
            self.without_baseline += 1
        else:
            self.unmeasured[face.reason] += 1

    @property
    def share(self) -> float | None:
        """Of the faces with a match, those of at least MATCH; None without any."""
        return self.above / len(self.matches) if self.matches else None


@dataclass
class Tally:
    """What the metrics are told from."""

    standin: bool = False
    """Whether no model made them, so that nothing is judged."""
    ends: Counter[Status] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    """Codes of failed and refused jobs."""
    pictures: int = 0
    making: Series = field(default_factory=Series)
    """Seconds a picture: execution started → outputs stored."""
    response: Series = field(default_factory=Series)
    """Seconds a job: manifest written → outputs stored."""
    waited: float = 0.0
    """Seconds of `response`: for a claim and a worker."""
    started: float = 0.0
    """Seconds of `response`: for the start of a container and ComfyUI."""
    usd: Series = field(default_factory=Series)
    """Dollars a picture, of jobs on a GPU that is billed."""
    faces: Faces = field(default_factory=Faces)
    loras: Counter[bool] = field(default_factory=Counter)
    """Loads by whether they succeeded."""

    def add(self, result: Result) -> None:
        self.ends[result.status] += 1
        if result.error is not None:
            self.errors[result.error.code] += 1
        for event in result.events:
            if event.event in (LoraLoaded.pattern, LoraLoadFailed.pattern):
                self.loras[event.event == LoraLoaded.pattern] += 1
        if result.status is Status.SUCCEEDED:
            self._add_success(result)

    def _add_success(self, result: Result) -> None:
        metrics, count = result.metrics, len(result.own_outputs)
        self.pictures += count
        for output in result.own_outputs:
            self.faces.add(output)
        if any(output.view and output.view.number for output in result.outputs):
            self._add_sheet(result)
            return
        if metrics is None or count == 0:
            return
        waited = metrics.queue + metrics.claim
        self.making.add(metrics.total / count)
        self.response.add(waited + metrics.start + metrics.total)
        self.waited += waited
        self.started += metrics.start
        if result.cost is not None and result.cost.usd > 0:
            self.usd.add(result.cost.usd / count)

    def _add_sheet(self, result: Result) -> None:
        """Made by several executions perhaps, and answered once for all of its pictures."""
        count = len(result.own_outputs)
        if count == 0:
            return
        made = sum(output.view.seconds for output in result.outputs if output.view is not None)
        missed = sum(view.seconds for view in result.missing)
        self.making.add((made + missed) / count)
        if result.cost is not None and result.cost.total_usd > 0:
            self.usd.add(result.cost.total_usd / count)

    @property
    def success(self) -> float | None:
        """Share of those that succeeded or failed, from 0 to 1: refusals and cancels are neither.
        None without any."""
        done = self.ends[Status.SUCCEEDED] + self.ends[Status.FAILED]
        return self.ends[Status.SUCCEEDED] / done if done else None

    @property
    def waited_share(self) -> float | None:
        """Of all response seconds, from 0 to 1; None without any."""
        return self.waited / self.response.sum if self.response.sum else None

    @property
    def started_share(self) -> float | None:
        """Of all response seconds, from 0 to 1; None without any."""
        return self.started / self.response.sum if self.response.sum else None

    def metrics(self) -> Iterator[Metric]:
        """Those with a target first in their group."""
        done = self.ends[Status.SUCCEEDED] + self.ends[Status.FAILED]
        yield self._more("success", Unit.SHARE, self.success, done, "jobs", SUCCESS)
        yield from self._times()
        yield from self._costs()
        yield from self._faces()
        tried, loaded = self.loras.total(), self.loras[True]
        share = loaded / tried if tried else None
        verdict = self._verdict(share, share == 1)
        yield Metric("LoRA loads", Unit.SHARE, share, tried, "loads", "100 %", verdict)

    def _times(self) -> Iterator[Metric]:
        for series, about, of in (
            (self.making, "seconds a picture", "jobs"),
            (self.response, "response", "jobs"),
        ):
            p50, p95 = series.percentiles((50, 95))
            n = len(series)
            yield self._less(f"{about}, mean", Unit.SECONDS, series.mean, n, of, SECONDS)
            yield Metric(f"{about}, p50", Unit.SECONDS, p50, n, of)
            yield Metric(f"{about}, p95", Unit.SECONDS, p95, n, of)
        n = len(self.response)
        yield Metric("of it waiting", Unit.SHARE, self.waited_share, n, "jobs")
        yield Metric("of it cold start", Unit.SHARE, self.started_share, n, "jobs")

    def _costs(self) -> Iterator[Metric]:
        p95, n = self.usd.percentile(95), len(self.usd)
        yield self._less("cost a picture, mean", Unit.USD, self.usd.mean, n, "jobs", USD)
        yield self._less("cost a picture, p95", Unit.USD, p95, n, "jobs", USD)

    def _faces(self) -> Iterator[Metric]:
        faces, n = self.faces, len(self.faces.matches)
        mean = faces.matches.mean
        verdict = self._verdict(mean, mean is not None and mean >= MATCH)
        target = f"at least {MATCH}"
        yield Metric("face match, mean", Unit.MATCH, mean, n, "faces", target, verdict)
        yield Metric(f"faces of at least {MATCH}", Unit.SHARE, faces.share, n, "faces")

    def _more(
        self, name: str, unit: Unit, figure: float | None, n: int, of: str, bound: float
    ) -> Metric:
        verdict = self._verdict(figure, figure is not None and figure > bound)
        return Metric(name, unit, figure, n, of, f"more than {bound * 100:g} %", verdict)

    def _less(
        self, name: str, unit: Unit, figure: float | None, n: int, of: str, bound: float
    ) -> Metric:
        verdict = self._verdict(figure, figure is not None and figure < bound)
        shown = f"${bound:.2f}" if unit is Unit.USD else f"{bound:g} s"
        return Metric(name, unit, figure, n, of, f"less than {shown}", verdict)

    def _verdict(self, figure: float | None, met: bool) -> TargetVerdict:
        if figure is None:
            return TargetVerdict.NO_DATA
        if self.standin:
            return TargetVerdict.NO_EVIDENCE
        return TargetVerdict.MET if met else TargetVerdict.MISSED

    def document(self) -> dict[str, Any]:
        return {
            "jobs": self.ends.total(),
            **{status.value: self.ends[status] for status in Status},
            "pictures": self.pictures,
            "errors": dict(self.errors.most_common()),
            "seconds_a_picture": self.making.document(),
            "response_seconds": self.response.document(),
            "waiting_share": rounded(self.waited_share),
            "cold_start_share": rounded(self.started_share),
            "usd_a_picture": self.usd.document(),
            "faces": {
                "match": self.faces.matches.document(),
                "least_match": MATCH,
                "above": self.faces.above,
                "share": rounded(self.faces.share),
                "without_baseline": self.faces.without_baseline,
                "unmeasured": dict(self.faces.unmeasured.most_common()),
            },
            "lora_loads": {"loaded": self.loras[True], "failed": self.loras[False]},
            "metrics": [metric.document() for metric in self.metrics()],
        }
