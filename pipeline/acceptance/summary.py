"""What a run has come to: the criteria judged, as a document, and as a page with pictures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from pipeline.acceptance.criteria.criterion import Criterion, Facts, Outcome, Verdict
from pipeline.acceptance.criteria.deployment import deployment_criteria
from pipeline.acceptance.criteria.figures import figure_criteria
from pipeline.acceptance.criteria.pictures import picture_criteria
from pipeline.acceptance.jobs import Forecast, Stage, spent_usd
from pipeline.acceptance.precision import Pair, pairs
from pipeline.acceptance.run import Findings
from pipeline.contract.result import Output
from pipeline.pages.html import render as render_page
from pipeline.pages.html import thumbnail
from pipeline.store.conditional import SafeStore

THUMB_PIXELS = 280
"""Longest side of a picture in the page."""
MOST_PICTURES = 24
"""Of one criterion."""
STANDIN_MADE = "made by the stand-in"


def evaluate(facts: Facts) -> list[Criterion]:
    """All criteria, in the order of the page; what the stand-in made is evidence of nothing but
    faults."""
    criteria = [*picture_criteria(facts), *figure_criteria(facts), *deployment_criteria(facts)]
    return [_as_standin(each) for each in criteria] if facts.standin else criteria


def _as_standin(criterion: Criterion) -> Criterion:
    """The stand-in shows nothing of quality, seconds or dollars; that a job broke, it does show."""
    passed = criterion.verdict is Verdict.PASS
    if passed or (criterion.measured and criterion.verdict is Verdict.FAIL):
        why = f"{STANDIN_MADE}; {criterion.why}" if criterion.why else STANDIN_MADE
        return replace(criterion, verdict=Verdict.NO_EVIDENCE, why=why)
    return criterion


@dataclass(frozen=True)
class Thumbnail:
    key: str
    data: str
    """Data URI of a small copy."""
    job: str
    caption: str
    reference: str | None = None
    """Data URI of the person that it is to show."""


@dataclass(frozen=True)
class Acceptance:
    """A run, judged: what the page and `--json` show."""

    run: str
    bucket: str
    at: datetime
    """The store's clock."""
    forecast: Forecast
    findings: Findings
    criteria: Sequence[Criterion]
    pictures: Mapping[str, Sequence[Thumbnail]] = field(default_factory=dict)
    """Criterion → those that show it."""
    precision: Sequence[Pair] = ()
    """This run's pictures beside another one's."""

    @property
    def ok(self) -> bool:
        """Whether nothing failed."""
        return not self.counts[Verdict.FAIL]

    @property
    def standin(self) -> bool:
        return self.findings.facts.standin

    @property
    def counts(self) -> Mapping[Verdict, int]:
        return {v: sum(each.verdict is v for each in self.criteria) for v in Verdict}

    @property
    def usd(self) -> float:
        """Spent by all jobs of the run, their lost attempts included."""
        return spent_usd(self.findings.facts.results)

    def document(self) -> dict[str, Any]:
        return {
            "run": self.run,
            "bucket": self.bucket,
            "at": self.at.isoformat(),
            "ok": self.ok,
            "evidence_of_quality": not self.standin,
            "engines": sorted(self.findings.facts.engines),
            "verdicts": {verdict.value: count for verdict, count in self.counts.items()},
            "criteria": [each.document() for each in self.criteria],
            "gpus": [each.document() for each in self.findings.gpus],
            "precision": [each.document() for each in self.precision],
            "forecast": self.forecast.document(),
            "usd": round(self.usd, 6),
            "stopped": self.findings.stopped,
        }


def account(
    run: str,
    bucket: str,
    forecast: Forecast,
    findings: Findings,
    store: SafeStore,
    folder: Path,
) -> Acceptance:
    """Judges, and reads the pictures for the page. `folder` is what references are relative to.

    Raises StoreUnavailable, StoreDenied, or OSError for a reference that is gone.
    """
    criteria = evaluate(findings.facts)
    shown = {
        each.name: _pictures(each, findings.facts.outcomes, store, folder) for each in criteria
    }
    compared = pairs(findings.facts.outcomes, findings.beside, store)
    return Acceptance(run, bucket, store.now(), forecast, findings, criteria, shown, compared)


def _pictures(
    criterion: Criterion, outcomes: Sequence[Outcome], store: SafeStore, folder: Path
) -> list[Thumbnail]:
    wanted = set(criterion.keys)
    found = [
        (each, output)
        for each in outcomes
        for output in (each.result.outputs if each.result else ())
        if output.key in wanted
    ]
    return [
        Thumbnail(
            output.key,
            thumbnail(stored.body, THUMB_PIXELS),
            each.job.id,
            _caption(each, output),
            _reference(each, folder),
        )
        for each, output in found[:MOST_PICTURES]
        if (stored := store.get(output.key)) is not None
    ]


def _caption(outcome: Outcome, output: Output) -> str:
    if output.face is not None:
        match = output.face.reason if output.face.match is None else f"{output.face.match:.3f}"
        return f"similarity {output.face.similarity:.3f}, match {match}"
    if output.face_reason is not None:
        return f"no score: {output.face_reason}"
    return outcome.job.subject or outcome.job.model


def _reference(outcome: Outcome, folder: Path) -> str | None:
    given = outcome.job.input.get("reference_image")
    if outcome.job.stage is Stage.SHEET:
        given = next(iter(outcome.job.input.get("reference_images", ())), None)
    if outcome.job.stage not in (Stage.FACE, Stage.SHEET) or not isinstance(given, str):
        return None
    return thumbnail((folder / given.removeprefix("@")).read_bytes(), THUMB_PIXELS)


def write_page(acceptance: Acceptance, file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(render(acceptance), "utf-8")


def render(acceptance: Acceptance) -> str:
    return render_page("pipeline.acceptance", "accept.html.j2", acceptance=acceptance)
