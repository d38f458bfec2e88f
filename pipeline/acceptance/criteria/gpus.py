"""A kind measured on several GPUs: seconds, cold parts, dollars a picture, of each. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from config.tables import GpuTable
from pipeline.acceptance.criteria.criterion import Outcome, ids, several
from pipeline.acceptance.estimate import PricedJob
from pipeline.contract.result import ColdParts, Result
from pipeline.report.series import rounded


@dataclass(frozen=True)
class OnGpu:
    """What a GPU did; None where nothing was measured."""

    gpu: str
    """As it was asked for."""
    jobs: Sequence[str]
    pictures: int = 0
    warm_seconds: float | None = None
    """A picture, of jobs that waited for no start."""
    warm_usd: float | None = None
    cold_seconds: float | None = None
    """Of the first job: start and execution."""
    cold_usd: float | None = None
    cold_wait: float | None = None
    """Of the first job before our code began: the dispatcher's and the platform's part."""
    cold_parts: ColdParts | None = None
    estimate_seconds: float | None = None
    estimate_usd: float | None = None
    why: str = ""
    """What is missing of it."""

    def document(self) -> dict[str, Any]:
        return {
            "gpu": self.gpu,
            "pictures": self.pictures,
            "warm_seconds": rounded(self.warm_seconds),
            "warm_usd": rounded(self.warm_usd),
            "cold_seconds": rounded(self.cold_seconds),
            "cold_usd": rounded(self.cold_usd),
            "cold_wait": rounded(self.cold_wait),
            "cold_parts": self.cold_parts.model_dump() if self.cold_parts else None,
            "estimate_seconds": rounded(self.estimate_seconds),
            "estimate_usd": rounded(self.estimate_usd),
            "why": self.why or None,
            "jobs": list(self.jobs),
        }


def on_gpus(
    outcomes: Sequence[Outcome], priced_jobs: Iterable[PricedJob], table: GpuTable
) -> list[OnGpu]:
    """In the order in which they were asked for."""
    first_orders = {priced.job.subject: priced for priced in reversed(list(priced_jobs))}
    return [
        _on(gpu, [each for each in outcomes if each.job.subject == gpu], first_orders[gpu], table)
        for gpu in dict.fromkeys(each.job.subject for each in outcomes)
    ]


def _on(gpu: str, outcomes: Sequence[Outcome], priced: PricedJob, table: GpuTable) -> OnGpu:
    done = [each.result for each in outcomes if each.succeeded and each.result is not None]
    ran = [each for each in done if took(each, gpu, table) and each.outputs]
    warm = [each for each in ran if each.metrics is not None and not each.metrics.cold]
    cold = next((each for each in ran if each.metrics is not None and each.metrics.cold), None)
    return OnGpu(
        gpu,
        ids(outcomes),
        sum(len(each.outputs) for each in ran),
        fmean(map(_seconds, warm)) if warm else None,
        fmean(map(_usd, warm)) if warm else None,
        _seconds(cold) * len(cold.outputs) if cold else None,
        _usd(cold) if cold else None,
        cold.metrics.queue + cold.metrics.claim if cold and cold.metrics else None,
        cold.metrics.cold_parts if cold and cold.metrics else None,
        priced.seconds,
        priced.usd,
        _why(outcomes, done, gpu, table),
    )


def took(result: Result, gpu: str, table: GpuTable) -> bool:
    """Whether it ran where it was to. After out of memory a job goes on on a larger GPU."""
    return result.metrics is not None and result.metrics.gpu == table.gpu(gpu).name


def _seconds(result: Result) -> float:
    assert result.metrics is not None
    return (result.metrics.start + result.metrics.total) / len(result.outputs)


def _usd(result: Result) -> float:
    return result.cost.usd / len(result.outputs) if result.cost else 0.0


def _why(outcomes: Sequence[Outcome], done: Sequence[Result], gpu: str, table: GpuTable) -> str:
    moved = [
        f"{each.id} ran on {each.metrics.gpu}"
        for each in done
        if each.metrics is not None and not took(each, gpu, table)
    ]
    failed = [each.fault for each in outcomes if each.fault]
    waiting = [f"{each.job.id}: {each.why}" for each in outcomes if each.result is None]
    return several([*moved, *failed, *waiting])
