"""One page that shows a demo: pictures, timings, refusals, checks. It needs no other file.

The pictures in it are small copies; each links to the full file beside the page.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache, cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

from config.gpus import GpuTable
from config.routes import RouteTable
from handlers.kinds.registry import KINDS
from pipeline.contract.keys import INBOX
from pipeline.contract.result import JobCost, Metrics, Output, Result, Status
from pipeline.local.demo.checks import Check
from pipeline.local.demo.demo import DemoRun
from pipeline.local.demo.manifests import Example
from pipeline.local.demo.sheet_rows import SheetRow, sheet_rows
from pipeline.pages.chart import Chart, bars
from pipeline.pages.figure_text import NOTHING
from pipeline.pages.html import render, thumbnail

THUMB_PIXELS = 640
"""Longest side of a picture in the page."""
ROW_ASPECT = 4.2
"""Width of a row of pictures over its height, about."""
PARTS: Mapping[str, str] = {
    "queue": "manifest written, not yet claimed",
    "claim": "claimed, waiting for a worker",
    "start": "start of worker and ComfyUI",
    "load": "loading weights",
    "encode": "encoding the prompt",
    "sampling": "sampler steps",
    "decode": "decoding the picture",
    "other": "other nodes, saving among them",
    "upload": "checking, converting and storing outputs",
    "between": "requests and messages around all that",
}
"""Of a job's seconds, in the order in which they follow each other, but for the last."""


@dataclass(frozen=True)
class Thumbnail:
    output: Output
    number: int
    """From 1, over all jobs."""
    job: "JobRow"
    data: str
    """Data URI of the small copy."""

    @property
    def aspect(self) -> float:
        """Width over height; 1 where the size is not known."""
        width, height = self.output.width, self.output.height
        return width / height if width and height else 1.0

    @property
    def format(self) -> str:
        return self.output.content_type.removeprefix("image/")


@dataclass(frozen=True)
class JobRow:
    """One job as the table shows it."""

    example: Example
    result: Result | None
    estimate_on: str | None
    """The GPU that the estimate is for."""

    @property
    def id(self) -> str:
        return self.example.id

    @property
    def status(self) -> str:
        return self.result.status.value if self.result else "unfinished"

    @property
    def metrics(self) -> Metrics | None:
        return self.result.metrics if self.result else None

    @property
    def cost(self) -> JobCost | None:
        return self.result.cost if self.result else None

    @property
    def seconds(self) -> float | None:
        """Of the execution."""
        return self.metrics.total if self.metrics else None

    @property
    def cost_usd(self) -> float | None:
        return self.cost.total_usd if self.cost else None

    @property
    def estimate_usd(self) -> float | None:
        return self.cost.estimate_usd if self.cost else None

    @property
    def estimate_most_usd(self) -> float | None:
        """None where it is no more than `estimate_usd`."""
        most = self.cost.estimate_most_usd if self.cost else None
        return None if most == self.estimate_usd else most

    @property
    def entry(self) -> str:
        return self.example.entry.removeprefix(INBOX)

    @property
    def prompt(self) -> str:
        return str(self.example.input.get("prompt", ""))

    @property
    def manifest(self) -> str:
        return json.dumps(self.example.document, indent=2, ensure_ascii=False)


@dataclass(frozen=True)
class FaceRow:
    """A picture with somebody's face in it, and what was measured of it."""

    job: JobRow
    output: Output
    data: str
    composition: str | None
    """The picture before its face pass."""

    @property
    def score(self) -> Sequence[tuple[str, str]]:
        face = self.output.face
        if face is None:
            return [("not measured", self.output.face_reason or NOTHING)]
        match = face.reason if face.match is None else f"{face.match:.2f}"
        return [
            ("similarity", f"{face.similarity:.3f}"),
            ("match", match or NOTHING),
            ("embedder", face.embedder),
            ("faces found", str(face.faces_found)),
            ("tries", str(face.tries)),
        ]


@dataclass(frozen=True)
class Report:
    """What the page shows."""

    run: DemoRun
    checks: Sequence[Check]
    jobs: Sequence[JobRow]
    """In the order in which they ended, those that never ran behind."""
    made_at: datetime

    @property
    def ok(self) -> bool:
        return all(check.ok for check in self.checks)

    @property
    def picture_count(self) -> int:
        return sum(len(job.result.outputs) for job in self.jobs if job.result)

    @cached_property
    def pictures(self) -> Sequence[Thumbnail]:
        """Those of character sheets are shown by their contact sheets."""
        outputs = [
            (job, output)
            for job in self.jobs
            if job.result and job.example.sheet is None
            for output in job.result.outputs
        ]
        return [
            Thumbnail(output, n, job, self._small(output))
            for n, (job, output) in enumerate(outputs, start=1)
        ]

    @property
    def rows(self) -> Sequence[Sequence[Thumbnail]]:
        """The pictures in rows of about the same width at the same height."""
        aspects = [picture.aspect for picture in self.pictures]
        cuts = balanced(aspects, max(1, round(sum(aspects) / ROW_ASPECT)))
        return [self.pictures[start:end] for start, end in pairwise(cuts)]

    @property
    def faces(self) -> Sequence[FaceRow]:
        return [
            FaceRow(
                job,
                output,
                self._small(output),
                self._small(output.composition) if output.composition else None,
            )
            for job in self.jobs
            if job.result and "reference_image" in job.example.input
            for output in job.result.outputs
        ]

    @property
    def sheets(self) -> Sequence[SheetRow]:
        return sheet_rows(self.run)

    def _small(self, output: Output) -> str:
        return thumbnail((self.run.out / output.key).read_bytes(), THUMB_PIXELS)

    @property
    def refused(self) -> Iterator[JobRow]:
        return (job for job in self.jobs if job.status == Status.REJECTED)

    @property
    def engine(self) -> str | None:
        for job in self.jobs:
            if job.result and job.result.provenance:
                return job.result.provenance.engine
        return None

    @property
    def plot(self) -> Chart:
        return bars({job.id: seconds_by_part(job.metrics) for job in self.jobs if job.metrics})

    @property
    def event_counts(self) -> Mapping[str, int]:
        return dict(sorted(Counter(event.event for event in self.run.events).items()))

    def document(self) -> dict[str, Any]:
        """The same for programs."""
        return {
            "ok": self.ok,
            "out": str(self.run.out),
            "seconds": round(self.run.seconds, 3),
            "engine": self.engine,
            "jobs": [
                {
                    "id": job.id,
                    "model": job.example.model,
                    "status": job.status,
                    "expected": job.example.expected,
                    "seconds": job.seconds,
                    "cost_usd": job.cost_usd,
                    "estimate_usd": job.estimate_usd,
                    "estimate_most_usd": job.cost.estimate_most_usd if job.cost else None,
                    "estimate_gpu": job.estimate_on,
                    "outputs": [each.key for each in job.result.outputs] if job.result else [],
                    "error": job.result.error.model_dump()
                    if job.result and job.result.error
                    else None,
                }
                for job in self.jobs
            ],
            "submitted_twice": self.run.again.id if self.run.again else None,
            "events": len(self.run.events),
            "checks": [{"text": c.text, "ok": c.ok, "faults": list(c.faults)} for c in self.checks],
        }


def make_report(
    run: DemoRun, checks: Sequence[Check], gpus: GpuTable, routes: RouteTable, made_at: datetime
) -> Report:
    rows = []
    for example in run.examples:
        kind = KINDS.get(example.model)
        gpu = gpus.gpu(routes.route(kind.route).gpus[0]).name if kind else None
        rows.append(JobRow(example, run.results.get(example.id), gpu))
    ended = list(run.results)
    rows.sort(key=lambda row: ended.index(row.id) if row.seconds is not None else len(ended))
    return Report(run, checks, rows, made_at)


def write_report(report: Report) -> Path:
    """<out>/report.html."""
    page = render(
        "pipeline.local.demo", "report.html.j2", {"size": _size}, report=report, parts=PARTS
    )
    file = report.run.out / "report.html"
    file.write_text(page)
    return file


def seconds_by_part(metrics: Metrics) -> dict[str, float]:
    """All of a job's seconds; what the measured parts of an execution leave is `between`."""
    parts = {part: float(getattr(metrics, part)) for part in PARTS if part != "between"}
    inside = ("load", "encode", "sampling", "decode", "other", "upload")
    return parts | {"between": max(0.0, metrics.total - sum(parts[part] for part in inside))}


def balanced(weights: Sequence[float], rows: int) -> list[int]:
    """Where to cut a sequence into rows so that the heaviest is as light as can be: 0 … len."""

    @cache
    def best(start: int, left: int) -> tuple[float, tuple[int, ...]]:
        if left <= 1:
            return sum(weights[start:]), (len(weights),)
        ways = (
            (max(sum(weights[start:cut]), rest[0]), (cut, *rest[1]))
            for cut in range(start + 1, len(weights) - left + 2)
            for rest in [best(cut, left - 1)]
        )
        return min(ways)

    return [0, *best(0, max(1, min(rows, len(weights))))[1]]


def _size(count: int) -> str:
    return f"{count / 1000:.0f} kB" if count < 1_000_000 else f"{count / 1_000_000:.1f} MB"
