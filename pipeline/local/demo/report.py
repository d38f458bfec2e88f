"""One page that shows a demo: pictures, timings, refusals, checks. It needs no other file.

The pictures in it are small copies; each links to the full file beside the page.
"""

import base64
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from PIL import Image

from config.tables import GpuTable, RouteTable
from handlers.kinds.registry import KINDS
from pipeline.contract.keys import INBOX
from pipeline.contract.result import Output, Result, Status
from pipeline.local.demo.chart import PARTS, Plot, balanced, plot
from pipeline.local.demo.checks import Check
from pipeline.local.demo.demo import DemoRun
from pipeline.local.demo.manifests import Example

STANDIN = "standin"
NOTHING = "\N{EN DASH}"
THUMB_PIXELS = 640
"""Longest side of a picture in the page."""
ROW_ASPECT = 4.2
"""Width of a row of pictures over its height, about."""


@dataclass(frozen=True)
class Thumbnail:
    output: Output
    number: int
    job: "JobRow"
    data: str
    """Data URI of the small copy."""

    @property
    def aspect(self) -> float:
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
    def seconds(self) -> float | None:
        """Of the execution."""
        metrics = self.result.metrics if self.result else None
        return metrics.total if metrics else None

    @property
    def waited(self) -> float | None:
        metrics = self.result.metrics if self.result else None
        return metrics.queue + metrics.claim + metrics.start if metrics else None

    @property
    def cost_usd(self) -> float | None:
        cost = self.result.cost if self.result else None
        return cost.total_usd if cost else None

    @property
    def estimate_usd(self) -> float | None:
        cost = self.result.cost if self.result else None
        return cost.estimate_usd if cost else None

    @property
    def estimate_seconds(self) -> float | None:
        metrics = self.result.metrics if self.result else None
        return metrics.estimate_seconds if metrics else None

    @property
    def entry(self) -> str:
        return self.example.entry.removeprefix(INBOX)

    @property
    def tenant(self) -> str:
        return str(self.example.document.get("tenant", "default"))

    @property
    def priority(self) -> int:
        return int(self.example.document.get("priority", 5))

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

    @cached_property
    def pictures(self) -> Sequence[Thumbnail]:
        outputs = [
            (job, output) for job in self.jobs if job.result for output in job.result.outputs
        ]
        return [
            Thumbnail(output, n, job, _data_uri(self.run.out / output.key))
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
                _data_uri(self.run.out / output.key),
                _data_uri(self.run.out / output.composition.key) if output.composition else None,
            )
            for job in self.jobs
            if job.result and "reference_image" in job.example.input
            for output in job.result.outputs
        ]

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
    def plot(self) -> Plot:
        ran = [(job.id, job.result.metrics) for job in self.jobs if job.result]
        return plot({id: metrics for id, metrics in ran if metrics})

    @property
    def event_counts(self) -> Mapping[str, int]:
        counts: dict[str, int] = {}
        for event in self.run.events:
            counts[event.event] = counts.get(event.event, 0) + 1
        return dict(sorted(counts.items()))

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
    environment = Environment(
        loader=PackageLoader("pipeline.local.demo", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"seconds": _seconds, "usd": _usd, "size": _size}
    page = environment.get_template("report.html.j2").render(report=report, parts=PARTS)
    file = report.run.out / "report.html"
    file.write_text(page)
    return file


def _data_uri(file: Path) -> str:
    """A small JPEG of the picture."""
    with Image.open(file) as image:
        small = image.convert("RGB")
        small.thumbnail((THUMB_PIXELS, THUMB_PIXELS))
        body = io.BytesIO()
        small.save(body, "JPEG", quality=80, optimize=True)
    return f"data:image/jpeg;base64,{base64.b64encode(body.getvalue()).decode()}"


def _seconds(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.2f} s"


def _usd(value: float | None) -> str:
    if value is None:
        return NOTHING
    return "$0" if value == 0 else f"${value:.4f}"


def _size(count: int) -> str:
    return f"{count / 1000:.0f} kB" if count < 1_000_000 else f"{count / 1_000_000:.1f} MB"
