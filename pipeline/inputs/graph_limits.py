"""How much a caller's graph may ask of a machine."""

from collections.abc import Mapping

from config.errors import GraphRejected
from config.settings import Settings
from handlers.kinds.registry import KINDS
from handlers.workflow_graph.demand import GraphLimits
from handlers.workflow_graph.extents import Size
from handlers.workflow_graph.kind import Workflow, WorkflowInput
from pipeline import costs
from pipeline.contract.manifest import Manifest
from pipeline.runtime import RuntimeConfig

_NONE: Mapping[str, Size] = {}


def graph_limits(settings: Settings) -> GraphLimits:
    return GraphLimits(
        megapixels=settings.graph_megapixels,
        total_megapixels=settings.graph_total_megapixels,
        samplers=settings.graph_samplers,
        megapixel_steps=settings.graph_megapixel_steps,
    )


def require_within_limits(
    manifest: Manifest, runtime: RuntimeConfig, pictures: Mapping[str, Size] = _NONE
) -> None:
    """Raises GraphRejected for a caller's graph that asks for too much; our own have limits.

    `pictures` has sizes by the field of the input, as far as they are known: each other one counts
    as a single pixel, so that nothing is refused which might pass.
    """
    kind = KINDS[manifest.model]
    if not isinstance(kind, Workflow) or not isinstance(manifest.input, WorkflowInput):
        return
    named = {name.removeprefix("inputs."): size for name, size in pictures.items()}
    demand = kind.demand(manifest.input, named)
    demand.require_within(graph_limits(runtime.settings))
    route = runtime.routes.route(kind.route)
    gpu = runtime.gpus.gpu(route.gpus[0])
    seconds = costs.estimate(kind.name, demand.work, gpu, route, runtime.gpus).seconds
    most = runtime.settings.graph_seconds
    if seconds is not None and seconds > most:
        raise GraphRejected(
            f"the graph would take {seconds:,.0f} s on {gpu.name}, at most {most:g} s are given;"
            f" node {demand.dearest} takes most of it",
            field=f"input.workflow.{demand.dearest}",
            value=round(seconds),
            hint="Ask for fewer steps, pixels or pictures; RYLA_GRAPH_SECONDS is the limit.",
        )
