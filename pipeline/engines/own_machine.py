"""This machine's GPUs and main memory, as they are stated or found."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import structlog

from config.errors import InvalidSetting
from config.routes import Route
from config.settings import Settings, devices, forced, memories, variable
from pipeline.engines.machine import GIB, Card, Machine, plan_machine
from pipeline.runtime import RuntimeConfig
from pipeline.worker.card_needs import CardNeed, assumed_speed, card_need
from pipeline.worker.gpu import SeenCard, seen_cards
from pipeline.worker.setup import weight_sizes, weights_folder
from workflows.node_pack import Speed

VISIBLE = "CUDA_VISIBLE_DEVICES"
"""What CUDA shows a process of the machine's GPUs."""


def own_machine(
    runtime: RuntimeConfig,
    environ: Mapping[str, str],
    look: Callable[[], Sequence[SeenCard]] = seen_cards,
) -> Machine:
    """What this machine serves. The driver and the system are asked only where a ComfyUI is started
    here: the stand-in loads no weights. Raises InvalidSetting for a forced route of no row."""
    settings = runtime.settings
    routes = tuple(runtime.routes.routes.values())
    named = forced(settings)
    for name in sorted(named - set(runtime.routes.routes)):
        raise InvalidSetting(
            f"{variable('forced_routes')} names no route: {name}",
            field=variable("forced_routes"),
            value=name,
            hint=f"Routes: {', '.join(runtime.routes.routes)}.",
        )
    sizes = weight_sizes(runtime.models, weights_folder(settings))

    def need_of(route: Route, card: Card) -> CardNeed:
        return card_need(route, runtime.models, sizes, assumed_speed(route, card.gpu))

    def fp8_of(route: Route, card: Card) -> CardNeed:
        eight = route.model_copy(update={"speed": Speed.FP8.value})
        return card_need(route, runtime.models, sizes, assumed_speed(eight, card.gpu))

    cards = cards_of(runtime, environ, look)
    return plan_machine(
        cards,
        main_memory(settings, cards),
        routes,
        need_of,
        fp8_of=fp8_of,
        forced=named,
        workers=settings.local_workers,
    )


def on_this_machine(
    runtime: RuntimeConfig, environ: Mapping[str, str]
) -> tuple[RuntimeConfig, Machine]:
    """For a dispatcher with workers here: it claims no job of a route that the machine does not
    serve. That is logged. Raises InvalidSetting."""
    machine = own_machine(runtime, environ)
    log = structlog.get_logger(__name__)
    for misfit in machine.misfits:
        log.warning("route_not_served", why=misfit.message, hint=misfit.hint)
    return replace(runtime, misfits=machine.unserved), machine


def cards_of(
    runtime: RuntimeConfig, environ: Mapping[str, str], look: Callable[[], Sequence[SeenCard]]
) -> tuple[Card, ...]:
    """Those of RYLA_GPUS, or the one that CUDA takes first."""
    settings = runtime.settings
    names, stated = devices(settings), memories(settings)
    seen: Sequence[SeenCard] = ()
    if settings.comfyui_dir is not None:
        seen = look()
    first = environ.get(VISIBLE, "0").split(",")[0].strip()
    return tuple(
        _card(runtime, name, stated[at] if stated else None, _called(seen, name or first))
        for at, name in enumerate(names or ("",))
    )


def _called(seen: Sequence[SeenCard], device: str) -> SeenCard | None:
    return next((card for card in seen if card.is_called(device)), None)


def _card(
    runtime: RuntimeConfig, device: str, stated_gib: float | None, seen: SeenCard | None
) -> Card:
    memory = None if seen is None else seen.memory_bytes
    if stated_gib is not None:
        memory = round(stated_gib * GIB)
    if memory is not None:
        memory = max(0, memory - round(runtime.settings.gpu_reserve_gib * GIB))
    row = None if seen is None else runtime.gpus.identify(seen.name)
    return Card(device, memory, None if row is None or row.memory_gib is None else row)


def main_memory(settings: Settings, cards: Sequence[Card]) -> int | None:
    """Bytes. None where no weights are loaded, and where nobody knows what of them lies on a card:
    a machine without a GPU is somebody's trial, and may do with little."""
    if settings.main_memory_gib is not None:
        return round(settings.main_memory_gib * GIB)
    if settings.comfyui_dir is None or all(card.memory is None for card in cards):
        return None
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return None
