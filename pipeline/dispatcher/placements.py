"""Where the jobs of one tick are spawned: each placement is known to those after it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from config.routes import Route
from pipeline.contract.keys import parse_inbox_key
from pipeline.contract.lease import Lease, Overflow
from pipeline.costs import cold_start_usd
from pipeline.dispatcher.route_platforms import route_platforms
from pipeline.queue.claim import Claimant, left_platform
from pipeline.queue.expiry import ListedLease
from pipeline.queue.platforms import (
    UNSTARTED,
    Placement,
    PlatformHealth,
    PlatformState,
    RoutePlatforms,
    Written,
    place,
    platform_health,
)
from pipeline.runtime import RuntimeConfig
from pipeline.store.base import Entry


@dataclass
class Placements:
    """Of one tick."""

    runtime: RuntimeConfig
    available: frozenset[str]
    known: Sequence[Written]
    """Leases as last read, and when each was written."""
    date: datetime
    """The store's clock."""
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
        lease = None if held is None else held.lease
        if lease is not None and not lease.vacant:
            model = lease.model
        elif beside is not None:
            model = parse_inbox_key(beside.key).model
        name = self.runtime.route_of(model)
        route = None if name is None else self.runtime.routes.route(name)
        platforms = None if route is None else route_platforms(route, self.available, self.runtime)
        left = None if held is None else left_platform(held, beside)
        usd = 0.0 if left is None or route is None else cold_start_usd(route, self.runtime.gpus)
        if route is None or platforms is None or not platforms.names:
            return Claimant(nonce, owner, self._unknown(lease, left), usd)
        return Claimant(nonce, owner, self._place(route, platforms, lease, left), usd)

    def _unknown(self, lease: Lease | None, left: str | None) -> Placement:
        """Of a job whose route is not known yet, or names no platform of this dispatcher's: where
        its claim before was to go, if anywhere. One that overflows has done so once, though it be
        spawned where it was."""
        spawned_s = self.runtime.settings.spawned_seconds
        if lease is not None and (left is not None or lease.overflow is Overflow.DONE):
            return Placement(spawned_s, None, Overflow.DONE)
        waits = lease is not None and lease.phase in UNSTARTED
        if lease is None or not waits or lease.platform not in self.available:
            return Placement(spawned_s)
        return Placement(lease.ttl_s, lease.platform, lease.overflow)

    def _place(
        self, route: Route, platforms: RoutePlatforms, lease: Lease | None, left: str | None
    ) -> Placement:
        health = self._health_of(route, platforms)
        spawned_s = self.runtime.settings.spawned_seconds
        placement = place(platforms, health, spawned_s, lease, left)
        chosen = health[placement.platform or ""]
        if chosen.state is PlatformState.SUSPECT:  # this job is the probe
            health[placement.platform or ""] = PlatformHealth(PlatformState.DOWN, chosen.known)
        return placement

    def _health_of(self, route: Route, platforms: RoutePlatforms) -> dict[str, PlatformHealth]:
        if route.name not in self._health:
            of_route = [
                (lease, written)
                for lease, written in self.known
                if self.runtime.route_of(lease.model) == route.name
            ]
            self._health[route.name] = {
                name: platform_health(name, of_route, self.date, platforms.down_after_s)
                for name in platforms.names
            }
        return self._health[route.name]
