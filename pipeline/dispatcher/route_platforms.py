"""Which platforms of a route this dispatcher can spawn on, and which are for others."""

from config.platforms import LOCAL
from config.routes import Route
from pipeline.queue.platforms import RoutePlatforms
from pipeline.runtime import RuntimeConfig


def route_platforms(
    route: Route, available: frozenset[str], runtime: RuntimeConfig
) -> RoutePlatforms:
    """`available` are the platforms that this dispatcher can spawn on."""
    if route.name in runtime.misfits:
        available -= {LOCAL}
    names = tuple(name for name in route.platforms if name in available)
    others = tuple(name for name in route.platforms if name not in available)
    # A job of a route with no platform of ours is spawned on none by name, and none fails it.
    return RoutePlatforms(
        names, route.overflow_after_s, route.down_after_s, others if names else ()
    )
