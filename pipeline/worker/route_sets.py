"""Which kinds a route has, and the sets of weights that they use. Pure."""

from collections.abc import Iterable

from config.models import ModelTable
from handlers.kinds.checkpoint import UNCENSORED_SUFFIX
from handlers.kinds.compatibility import sets_of
from handlers.kinds.registry import KINDS


def kinds_on(route: str) -> tuple[str, ...]:
    """In the order of the registry, the route's main kind first."""
    return tuple(name for name, kind in KINDS.items() if kind.route == route)


def sets_on(route: str) -> tuple[str, ...]:
    """The sets of weights that a route's kinds use."""
    return sets_of(kinds_on(route))


def listed(models: ModelTable, names: Iterable[str]) -> list[str]:
    """With the operator's own variants; without what the operator's table leaves out."""
    wanted = [each for name in names for each in (name, f"{name}{UNCENSORED_SUFFIX}")]
    return [name for name in wanted if models.sets.get(name)]


def listed_sets(models: ModelTable, route: str) -> list[str]:
    """Those of a route that its workers here may load."""
    return listed(models, sets_on(route))
