"""Where the jobs of one tick are spawned: each placement is known to those after it."""

from dataclasses import dataclass, field

from config.tables import Route
from pipeline.contract.lease import Lease
from pipeline.costs import cold_start_usd
from pipeline.dispatcher.survey import Survey
from pipeline.queue.claim import Claimant, overflows
from pipeline.queue.expiry import ListedLease
from pipeline.queue.platforms import (
    Placement,
    PlatformHealth,
    PlatformState,
    RoutePlatforms,
    place,
    platform_health,
)
from pipeline.runtime import RuntimeConfig
from pipeline.store.base import Entry


def route_platforms(route: Route, available: frozenset[str]) -> RoutePlatforms:
    """`available` are the platforms that this dispatcher can spawn on."""
    names = tuple(name for name in route.platforms if name in available)
    return RoutePlatforms(names, route.overflow_after_s, route.down_after_s)


@dataclass
class Placements:
    """Of one tick."""

    runtime: RuntimeConfig
    available: frozenset[str]
    survey: Survey
    _health: dict[str, dict[str, PlatformHealth]] = field(default_factory=dict)
    """By route and platform."""

    def claimant(
        self,
        nonce: str,
        owner: str,
        model: str | None,
        held: ListedLease | None = None,
        beside: Entry | None = None,
    ) -> Claimant:
        """Who claims a job of this model. `held` is its lease, if it has one; `beside` its inbox
        entry, if there is one beside the lease."""
        spawned_s = self.runtime.settings.spawned_seconds
        lease = None if held is None else held.lease
        name = self.runtime.route_of(model if lease is None else lease.model or model)
        route = None if name is None else self.runtime.routes.route(name)
        platforms = None if route is None else route_platforms(route, self.available)
        if route is None or platforms is None or not platforms.names:
            return Claimant(nonce, owner, Placement(spawned_s))
        goes = held is not None and overflows(held, beside)
        usd = cold_start_usd(route, self.runtime.gpus) if goes else 0.0
        return Claimant(nonce, owner, self._place(route, platforms, lease, goes), usd)

    def _place(
        self, route: Route, platforms: RoutePlatforms, lease: Lease | None, goes: bool
    ) -> Placement:
        health = self._health_of(route, platforms)
        spawned_s = self.runtime.settings.spawned_seconds
        left = lease.platform if goes and lease is not None else None
        placement = place(platforms, health, spawned_s, lease, left)
        chosen = health[placement.platform or ""]
        if chosen.state is PlatformState.SUSPECT:  # this job is the probe
            health[placement.platform or ""] = PlatformHealth(PlatformState.DOWN, chosen.known)
        return placement

    def _health_of(self, route: Route, platforms: RoutePlatforms) -> dict[str, PlatformHealth]:
        if route.name not in self._health:
            of_route = [
                (lease, written)
                for lease, written in self.survey.known
                if self.runtime.route_of(lease.model) == route.name
            ]
            self._health[route.name] = {
                name: platform_health(name, of_route, self.survey.date, platforms.down_after_s)
                for name in platforms.names
            }
        return self._health[route.name]
