"""Two runs of one plan set side by side, such as one in bfloat16 and one in fp8.

How a picture is computed is a setting of the deployment and no field of a job. So the plan runs
twice under two names, between which the deployment changes; the second run takes over the first
one's seeds, job by job.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from typing import Any

from PIL import Image, ImageChops, ImageStat

from config.errors import InvalidInput
from pipeline.acceptance.criteria.criterion import Outcome
from pipeline.acceptance.jobs import Job, Stage
from pipeline.contract.result import Result, Status
from pipeline.jobs.status import look_up
from pipeline.pages.html import thumbnail
from pipeline.store.conditional import SafeStore

COMPARED = (Stage.FLUX, Stage.LORA, Stage.FACE)
"""Stages whose jobs make one picture with one seed."""
THUMB_PIXELS = 420
MOST_PICTURES = 48
PEAK = 255.0


def earlier(store: SafeStore, jobs: Sequence[Job], run: str, other: str) -> dict[str, Result]:
    """By the ids of this run's jobs: what the other run made of the same. Raises InvalidInput where
    it made nothing."""
    ids = {job.id: f"{other}{job.id.removeprefix(run)}" for job in jobs if job.stage in COMPARED}
    seen = look_up(store, list(ids.values()))
    results = {id: seen[there].result for id, there in ids.items()}
    made = {
        id: result
        for id, result in results.items()
        if result is not None and result.status is Status.SUCCEEDED and result.outputs
    }
    if not made:
        raise InvalidInput(
            f"no run {other!r} of this plan has made a picture",
            field="--compare-precision",
            value=other,
            hint="Run the plan under that name first, then change `speed` in routes.toml, deploy, "
            "and run it under this one.",
        )
    return made


def with_seeds(jobs: Sequence[Job], made: Mapping[str, Result]) -> list[Job]:
    """The same jobs, to be made with the seeds of those."""
    return [
        replace(job, input={**job.input, "seed": made[job.id].outputs[0].seed})
        if job.id in made
        else job
        for job in jobs
    ]


@dataclass(frozen=True)
class Side:
    """One of two pictures."""

    job: str
    sampled: str
    """Its steps by how they were computed."""
    seconds: float | None
    usd: float | None
    match: float | None
    """Of its face, where one was measured."""
    data: str = ""
    """Data URI of a smaller copy."""


@dataclass(frozen=True)
class Pair:
    before: Side
    after: Side
    psnr: float | None
    """Decibels between the two pictures; None where they are equal or of two sizes."""

    def document(self) -> dict[str, Any]:
        sides = {"before": self.before, "after": self.after}
        told = {name: {**vars(side)} for name, side in sides.items()}
        for side in told.values():
            del side["data"]
        psnr = None if self.psnr is None else round(self.psnr, 2)
        return {**told, "psnr_db": psnr}


def pairs(
    outcomes: Sequence[Outcome], made: Mapping[str, Result], store: SafeStore
) -> tuple[Pair, ...]:
    """Of all jobs that made their picture in both runs. Raises StoreUnavailable, StoreDenied."""
    both = [
        (made[each.job.id], each.result)
        for each in outcomes
        if each.job.id in made and each.succeeded and each.result and each.result.outputs
    ]
    found = [_pair(before, after, store) for before, after in both[:MOST_PICTURES]]
    return tuple(pair for pair in found if pair is not None)


def _pair(before: Result, after: Result, store: SafeStore) -> Pair | None:
    first, second = (store.get(each.outputs[0].key) for each in (before, after))
    if first is None or second is None:
        return None
    return Pair(_side(before, first.body), _side(after, second.body), psnr(first.body, second.body))


def _side(of: Result, body: bytes) -> Side:
    steps = {} if of.provenance is None else of.provenance.sampled
    face = of.outputs[0].face
    return Side(
        of.id,
        ", ".join(f"{count} {name}" for name, count in steps.items()) or "as ComfyUI does",
        None if of.metrics is None else of.metrics.total,
        None if of.cost is None else of.cost.usd,
        None if face is None else face.match,
        thumbnail(body, THUMB_PIXELS),
    )


def psnr(one: bytes, other: bytes) -> float | None:
    """Decibels, of 8 bits in three colours."""
    with Image.open(BytesIO(one)) as first, Image.open(BytesIO(other)) as second:
        if first.size != second.size:
            return None
        apart = ImageStat.Stat(ImageChops.difference(first.convert("RGB"), second.convert("RGB")))
    error = sum(apart.sum2) / sum(apart.count)
    return None if error == 0 else 10 * math.log10(PEAK**2 / error)
