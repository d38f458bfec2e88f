"""Jobs made ready to be sent, each with what it is expected to cost."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from config.errors import BadManifest, InvalidInput, OverBudget
from handlers.kinds.registry import KINDS
from pipeline import costs
from pipeline.acceptance.jobs import Job, Stage
from pipeline.contract.manifest import parse_manifest
from pipeline.jobs.submit import Options, Prepared, prepare
from pipeline.runtime import RuntimeConfig


@dataclass(frozen=True)
class PricedJob:
    job: Job
    prepared: Prepared
    """Of a job over HTTP, only to be judged and priced."""
    usd: float | None
    """On a warm GPU of its route, or on the one that it must have. None where nobody can tell."""
    seconds: float | None
    gpu: str
    """That the estimate is for."""


def ready(
    jobs: Iterable[Job], folder: Path, tenant: str, runtime: RuntimeConfig
) -> list[PricedJob]:
    """Raises the first thing that is wrong with a job, before any is sent."""
    return [_ready(job, folder, tenant, runtime) for job in jobs]


def _ready(job: Job, folder: Path, tenant: str, runtime: RuntimeConfig) -> PricedJob:
    try:
        prepared = prepare(job.source(folder), Options(tenant=tenant))
    except (BadManifest, InvalidInput) as error:
        error.message = f"{_part(job)}: {error.message}"
        raise
    expected = _estimate(job, prepared, runtime)
    return PricedJob(job, prepared, expected.usd, expected.seconds, expected.gpu)


def _part(job: Job) -> str:
    """Where the plan says it."""
    parts = {Stage.LORA: "loras", Stage.FACE: "faces", Stage.GPU: "gpus"}
    return f"[{parts.get(job.stage, job.stage.value)}] {job.model}"


def _estimate(job: Job, prepared: Prepared, runtime: RuntimeConfig) -> costs.Estimate:
    kind = KINDS[job.model]
    route = runtime.routes.route(kind.route)
    gpu = runtime.gpus.gpu(job.subject if job.stage is Stage.GPU else route.gpus[0])
    work = kind.work(parse_manifest(prepared.body).input)
    return costs.estimate(kind.name, work, gpu, route, runtime.gpus)


def expected_usd(priced_jobs: Iterable[PricedJob]) -> float:
    """Of those that can be told."""
    return sum(priced.usd or 0.0 for priced in priced_jobs)


def require_known(priced_jobs: Sequence[PricedJob], bound_usd: float | None) -> None:
    """Raises OverBudget for a job whose cost nobody can tell, where there is a bound."""
    unknown = next((priced for priced in priced_jobs if priced.usd is None), None)
    if bound_usd is not None and unknown is not None:
        raise OverBudget(
            f"no estimate can be made of {unknown.job.id} on {unknown.gpu}, so the bound of"
            f" ${bound_usd:g} cannot be kept",
            field="--max-cost-usd",
            value=bound_usd,
            hint="Leave the bound out, or give the GPU's rates in RYLA_GPUS_FILE.",
        )


def over(
    bound_usd: float | None, spent_usd: float, coming: Iterable[PricedJob]
) -> OverBudget | None:
    """The refusal where what was spent and what these are expected to cost exceed the bound."""
    if bound_usd is None:
        return None
    expected = expected_usd(coming)
    if spent_usd + expected <= bound_usd:
        return None
    return OverBudget(
        f"${spent_usd:.4f} are spent and ${expected:.4f} are expected for what is to come: more"
        f" than ${bound_usd:g}",
        field="--max-cost-usd",
        value=bound_usd,
        hint="Allow more, or plan fewer pictures. Cold starts come on top of the estimate.",
    )
