"""What the sender of a job is told before it runs: its estimate, and where its means may not last.

Pure. Nothing is refused here: the dispatcher's preflight does that, by the same estimate.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from config.errors import GraphRejected
from config.gpus import GpuTable
from config.routes import RouteTable
from config.settings import Settings
from handlers.kinds.base import Kind
from handlers.kinds.registry import KINDS
from pipeline import costs
from pipeline.contract.manifest import Manifest
from pipeline.contract.stops import Stops


@dataclass(frozen=True)
class Quote:
    estimate: costs.Estimate
    warnings: tuple[str, ...]

    def beside(self, stops: Stops, manifest: Manifest) -> "Quote":
        """With a word of the stop that the job falls under, if one stands."""
        scope = stops.over(manifest.tenant, manifest.model)
        if scope is None:
            return self
        waits = f"it is taken in and waits: an operator has stopped {scope}"
        return replace(self, warnings=(*self.warnings, waits))

    def document(self) -> dict[str, Any]:
        """The fields of an `Estimate`, in JSON's own types; dollars and seconds."""
        known = self.estimate
        return {
            "gpu": known.gpu,
            "seconds": known.seconds,
            "most_seconds": known.most_seconds,
            "usd": known.usd,
            "most_usd": known.most_usd,
        }


def quote(
    manifest: Manifest, settings: Settings, routes: RouteTable, gpus: GpuTable, now: datetime
) -> Quote | None:
    """On the first GPU of the job's route, by whose estimate budgets are judged; None where no
    route runs its kind, and for a graph that will be refused. `now` is the store's clock."""
    kind = KINDS[manifest.model]
    route = routes.routes.get(kind.route)
    if route is None:
        return None
    try:
        estimate = costs.job_estimate(kind, manifest.input, gpus.gpu(route.gpus[0]), routes, gpus)
    except GraphRejected:
        return None
    limit = settings.job_timeout_seconds
    if settings.engine != "local":
        limit = min(limit, route.timeout_s)
    bounds = _bounds(kind, manifest, limit, now)
    return Quote(estimate, tuple(costs.cautions(estimate, bounds, kind.stops_short)))


def _bounds(
    kind: Kind[Any], manifest: Manifest, time_limit_s: float, now: datetime
) -> costs.Bounds:
    """A job in steps is handed back before its time limit and goes on in another execution, which
    its deadline may forbid. Any other is finished once it runs, if its time limit lets it."""
    if not kind.in_steps:
        return costs.Bounds(manifest.max_cost_usd, time_limit_s=time_limit_s)
    deadline = manifest.deadline
    left = None if deadline is None else (deadline - now).total_seconds()
    return costs.Bounds(manifest.max_cost_usd, deadline_s=left)
