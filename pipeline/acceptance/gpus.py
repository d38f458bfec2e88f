"""A kind measured on several GPUs: jobs that must run on a GPU of a given name, whatever the route
prefers, and what came of them.

A manifest cannot say so, and a worker's lease can: after out of memory, the next attempt has the
route's next GPU named in it. So the job is written as one that waits for its next attempt:
jobs/<id>/manifest.json first, then a lease in the phase `retry` that is due at once and names the
GPU. Whichever dispatcher comes by takes it over and spawns it there. The inbox never has it, so
none can claim it without the GPU. A lease without the manifest would be given up, and a manifest
without a lease is left by a run that broke off here: the next run writes the lease.
"""

from collections.abc import Iterable, Sequence
from statistics import fmean
from typing import Annotated, Any
from uuid import uuid4

from pydantic import AfterValidator, BaseModel, ConfigDict

from config.errors import IdConflict, InvalidInput, InvalidSetting
from config.gpus import NO_GPU, GpuTable
from pipeline.acceptance.criteria.criterion import Outcome, ids, several
from pipeline.acceptance.jobs import PricedJob
from pipeline.contract.keys import lease_key, manifest_key, parse_inbox_key, result_key
from pipeline.contract.lease import Lease, Phase
from pipeline.contract.result import ColdParts, Result
from pipeline.costs import Estimate
from pipeline.jobs.submit import Prepared
from pipeline.report.series import rounded
from pipeline.runtime import RuntimeConfig
from pipeline.store.conditional import Lost, SafeStore

OWNER = "accept"
TTL_S = 60.0
"""Of no account in this phase: whoever takes it over sets its own."""


def check_gpus(gpus: Sequence[str], runtime: RuntimeConfig) -> None:
    """Raises InvalidSetting for a GPU of no row, InvalidInput where none can be chosen."""
    if gpus and not runtime.deployed:
        raise InvalidInput(
            "GPUs cannot be chosen here: the local engine takes the machine as it is",
            field="--gpus",
            value=",".join(gpus),
            hint="Where the Modal app serves this bucket, set RYLA_ENGINE=modal.",
        )
    for name in gpus:
        try:
            row = runtime.gpus.gpu(name)
        except InvalidSetting as error:
            error.field = "--gpus"
            raise
        if row.name == NO_GPU:
            raise InvalidInput(f"{name!r} is no GPU", field="--gpus", value=name)


def place(store: SafeStore, job: Prepared, gpu: str) -> None:
    """Leave a job to be taken over, unless it is on its way or finished.

    Raises IdConflict for an id that was used with another manifest.
    """
    for picture in job.images:
        store.write(picture.key, picture.body, picture.content_type)
    if isinstance(store.create(manifest_key(job.id), job.body), Lost):
        raise IdConflict(
            f"the id {job.id} was used with another manifest", field="id", value=job.id
        )
    if store.get(result_key(job.id), limit=1) is None:
        store.create(lease_key(job.id), _waiting(store, job, gpu).body())


def _waiting(store: SafeStore, job: Prepared, gpu: str) -> Lease:
    name, nonce, now = parse_inbox_key(job.key), uuid4().hex, store.now()
    return Lease(
        id=job.id,
        entry=job.key,
        model=name.model,
        tenant=name.tenant,
        attempt=0,
        claim=nonce,
        nonce=nonce,
        owner=OWNER,
        phase=Phase.RETRY,
        ttl_s=TTL_S,
        not_before=now,
        gpu=gpu,
        submitted_at=now,
    )


Figure = Annotated[float | None, AfterValidator(rounded)]


class OnGpu(BaseModel):
    """What a GPU did; None where nothing was measured."""

    model_config = ConfigDict(frozen=True)

    gpu: str
    """As it was asked for."""
    pictures: int = 0
    warm_seconds: Figure = None
    """A picture, of jobs that waited for no start."""
    warm_usd: Figure = None
    """A picture, likewise."""
    cold_seconds: Figure = None
    """Of the first job: start and execution."""
    cold_usd: Figure = None
    """Of the first job."""
    cold_wait: Figure = None
    """Of the first job before our code began: the dispatcher's and the platform's part."""
    cold_parts: ColdParts | None = None
    estimate_seconds: Figure = None
    """Of one job on a warm GPU, as is `estimate_usd`."""
    estimate_usd: Figure = None
    why: str = ""
    """What is missing of it."""
    jobs: list[str]

    def document(self) -> dict[str, Any]:
        return self.model_dump() | {"why": self.why or None}


def on_gpus(outcomes: Sequence[Outcome], jobs: Iterable[PricedJob], table: GpuTable) -> list[OnGpu]:
    """In the order in which they were asked for."""
    estimates = {each.job.subject: each.estimate for each in jobs}
    return [
        _on_gpu(gpu, [each for each in outcomes if each.job.subject == gpu], estimates[gpu], table)
        for gpu in dict.fromkeys(each.job.subject for each in outcomes)
    ]


def _on_gpu(gpu: str, outcomes: Sequence[Outcome], estimate: Estimate, table: GpuTable) -> OnGpu:
    done = [each.result for each in outcomes if each.succeeded and each.result is not None]
    wanted = table.gpu(gpu).name
    ran = [each for each in done if _ran_on(each) == wanted and each.outputs]
    warm = [each for each in ran if each.metrics is not None and not each.metrics.cold]
    cold = next((each for each in ran if each.metrics is not None and each.metrics.cold), None)
    measured = cold.metrics if cold else None
    # After out of memory a job goes on on a larger GPU.
    moved = [
        f"{each.id} ran on {other}"
        for each in done
        if (other := _ran_on(each)) not in (None, wanted)
    ]
    failed = [each.fault for each in outcomes if each.fault]
    waiting = [f"{each.job.id}: {each.why}" for each in outcomes if each.result is None]
    return OnGpu(
        gpu=gpu,
        pictures=sum(len(each.outputs) for each in ran),
        warm_seconds=fmean(map(_seconds, warm)) if warm else None,
        warm_usd=fmean(map(_usd, warm)) if warm else None,
        cold_seconds=_seconds(cold) * len(cold.outputs) if cold else None,
        cold_usd=_usd(cold) if cold else None,
        cold_wait=measured.queue + measured.claim if measured else None,
        cold_parts=measured.cold_parts if measured else None,
        estimate_seconds=estimate.seconds,
        estimate_usd=estimate.usd,
        why=several([*moved, *failed, *waiting]),
        jobs=ids(outcomes),
    )


def _ran_on(result: Result) -> str | None:
    return result.metrics.gpu if result.metrics else None


def _seconds(result: Result) -> float:
    assert result.metrics is not None
    return (result.metrics.start + result.metrics.total) / len(result.outputs)


def _usd(result: Result) -> float:
    return result.cost.usd / len(result.outputs) if result.cost else 0.0
