"""Which kinds a route has, and the sets of weights that they use. Pure."""

from handlers.kinds.compatibility import sets_of
from handlers.kinds.registry import KINDS


def kinds_on(route: str) -> tuple[str, ...]:
    """In the order of the registry, the route's main kind first."""
    return tuple(name for name, kind in KINDS.items() if kind.route == route)


def sets_on(route: str) -> tuple[str, ...]:
    """The sets of weights that a route's kinds use."""
    return sets_of(kinds_on(route))
