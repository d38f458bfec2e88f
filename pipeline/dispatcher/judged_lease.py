"""What a manifest adds to its lease, so that nobody need read it again. Pure."""

from config.errors import RylaError
from handlers.kinds.registry import KINDS
from pipeline import costs
from pipeline.contract.lease import Lease
from pipeline.contract.manifest import Manifest, parse_manifest
from pipeline.runtime import RuntimeConfig


def judged(lease: Lease, manifest: Manifest, estimate: costs.Estimate) -> Lease:
    """With whose job it is, and what it may cost yet. A job in steps keeps what it has made."""
    most = estimate.most_usd if estimate.most_usd is not None else estimate.usd
    made = lease.spent.usd if KINDS[manifest.model].in_steps else 0.0
    return lease.model_copy(
        update={
            "model": manifest.model,
            "tenant": manifest.tenant,
            "batch": manifest.batch,
            "deadline": manifest.deadline,
            "estimate_usd": None if most is None else max(0.0, most - made),
        }
    )


def judged_by_body(lease: Lease, body: bytes, runtime: RuntimeConfig) -> Lease:
    """The same of a job that another dispatcher has claimed; as it is where its manifest is none:
    then it will not run."""
    try:
        manifest = parse_manifest(body)
        kind = KINDS[manifest.model]
        gpu = runtime.gpus.gpu(runtime.routes.route(kind.route).gpus[0])
        estimate = costs.job_estimate(kind, manifest.input, gpu, runtime.routes, runtime.gpus)
    except RylaError:
        return lease
    return judged(lease, manifest, estimate)
