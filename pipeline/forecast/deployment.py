"""The platforms that a forecast's jobs may run on, each with its prices. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from config.routes import Route
from pipeline.runtime import RuntimeConfig


@dataclass(frozen=True)
class Deployment:
    runtimes: Mapping[str, RuntimeConfig]
    """By platform; they differ in prices alone."""
    default: str
    """Where the jobs of routes go that name no platform of these."""

    @classmethod
    def of(cls, runtime: RuntimeConfig) -> "Deployment":
        """One platform, whatever routes name."""
        return cls({runtime.platform: runtime}, runtime.platform)

    @property
    def runtime(self) -> RuntimeConfig:
        return self.runtimes[self.default]

    def platforms_of(self, route: str) -> tuple[str, ...]:
        """In the route's order."""
        named = self.runtime.routes.route(route).platforms
        return tuple(name for name in named if name in self.runtimes) or (self.default,)


def platforms_named(routes: Iterable[Route], default: str, bound: frozenset[str]) -> list[str]:
    """The default, and all that routes name; where `bound` says something, of these alone."""
    named = dict.fromkeys([default, *(name for route in routes for name in route.platforms)])
    return [name for name in named if not bound or name == default or name in bound]
