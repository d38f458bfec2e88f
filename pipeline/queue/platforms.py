"""On which platform of its route a job is spawned, and how long it waits there. Pure.

A route names platforms in order. Each dispatcher judges them by the leases alone, so that all
judge alike. A platform that did not start a job is written into the job's lease as an outage: it
refused the job, or took it and started nothing for `overflow_after_s`.

    UP       no outage, or a job was started there since
    DOWN     the last outage was known less than `down_after_s` ago, or a probe is out
    SUSPECT  longer ago: one job is spawned there to see, the probe, and until it starts it is DOWN

A job goes to the first platform that is UP, a probe to the first that is SUSPECT. Where none is UP
it goes to the one whose outage is the oldest. It may overflow once: if no worker has started it
after `overflow_after_s`, the next claim goes to another platform, and counts as no wait. The
leases of finished jobs are gone, and what they told is forgotten with them.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum, auto

from pipeline.contract.lease import Lease, Outage, Overflow, Phase

Written = tuple[Lease, datetime]
"""A lease, and when it was written last."""
NEVER = datetime.min.replace(tzinfo=UTC)
UNSTARTED = (Phase.CLAIMED, Phase.SPAWNED)


@dataclass(frozen=True)
class RoutePlatforms:
    """Of a route."""

    names: tuple[str, ...]
    """In order; those that this dispatcher can spawn on."""
    overflow_after_s: float
    down_after_s: float
    elsewhere: tuple[str, ...] = ()
    """Those that only other dispatchers can spawn on; none where this one can spawn on none."""


class PlatformState(Enum):
    UP = auto()
    SUSPECT = auto()
    DOWN = auto()


@dataclass(frozen=True)
class PlatformHealth:
    state: PlatformState
    known: datetime = NEVER
    """When the last outage was."""


@dataclass(frozen=True)
class Placement:
    """What a claim says of where its job is spawned."""

    ttl_s: float
    """How long it may wait for a worker there."""
    platform: str | None = None
    """None for a route that names none."""
    overflow: Overflow = Overflow.NONE


def platform_health(
    name: str, leases: Iterable[Written], now: datetime, down_after_s: float
) -> PlatformHealth:
    """`leases` are those of one route, as last read; `now` is the store's clock."""
    held = list(leases)
    started = max((_start(lease, name) for lease, _ in held), default=NEVER)
    outages = [
        outage
        for lease, _ in held
        for outage in lease.outages
        if outage.platform == name and outage.since >= started
    ]
    if not outages:
        return PlatformHealth(PlatformState.UP)
    known = max(outage.until for outage in outages)
    lately = (now - known).total_seconds() < down_after_s
    if lately or any(_is_probe(lease, written, name, known) for lease, written in held):
        return PlatformHealth(PlatformState.DOWN, known)
    return PlatformHealth(PlatformState.SUSPECT, known)


def _start(lease: Lease, name: str) -> datetime:
    if lease.platform != name or lease.started_at is None:
        return NEVER
    return lease.started_at


def _is_probe(lease: Lease, written: datetime, name: str, known: datetime) -> bool:
    """Whether it was spawned there after the outage was known, and nobody has started it."""
    return (
        lease.platform == name
        and lease.phase in UNSTARTED
        and lease.overflow is Overflow.OPEN
        and written >= known
    )


def place(
    route: RoutePlatforms,
    health: Mapping[str, PlatformHealth],
    spawned_s: float,
    job: Lease | None = None,
    left: str | None = None,
) -> Placement:
    """Where a claim of the job goes. `job` is its lease so far, if it has one; `left` the platform
    where no worker has started it, if it overflows. `spawned_s` is RYLA_SPAWNED_SECONDS."""
    once = left is not None or (job is not None and job.overflow is Overflow.DONE)
    names = [name for name in route.names if name != left] or [*route.names]
    up = {name for name in route.names if health[name].state is PlatformState.UP}
    chosen = _chosen(names, health, probes=bool(up) and not once)
    if not once and len(route.names) > 1 and (up - {chosen} or not up):
        return Placement(route.overflow_after_s, chosen, Overflow.OPEN)
    return Placement(spawned_s, chosen, Overflow.DONE if once else Overflow.NONE)


def _chosen(names: list[str], health: Mapping[str, PlatformHealth], *, probes: bool) -> str:
    for name in names:
        state = health[name].state
        if state is PlatformState.UP or (probes and state is PlatformState.SUSPECT):
            return name
    return min(names, key=lambda name: health[name].known)


def refused(lease: Lease, now: datetime) -> tuple[Outage, ...]:
    """The lease's outages with that of a platform that took no job `now`."""
    if lease.platform is None:
        return lease.outages
    return lease.with_outage(Outage(platform=lease.platform, since=now, until=now)).outages


def goes_elsewhere(route: RoutePlatforms, lease: Lease, now: datetime) -> bool:
    """Whether a job that was refused has a platform left, of this dispatcher's or of others', that
    has not failed it lately: then it need not pause."""
    return not _failed_lately(route, lease, now).issuperset((*route.names, *route.elsewhere))


def is_left_to_others(route: RoutePlatforms, lease: Lease, now: datetime) -> bool:
    """Whether a job that waits for its retry is for dispatchers that can send it where this one
    cannot: all that this one can has failed it lately, and something of theirs has not. Else the
    one whose platform is down takes it again and again before the other."""
    lately = _failed_lately(route, lease, now)
    return lately.issuperset(route.names) and not lately.issuperset(route.elsewhere)


def _failed_lately(route: RoutePlatforms, lease: Lease, now: datetime) -> set[str]:
    return {
        outage.platform
        for outage in lease.outages
        if (now - outage.until).total_seconds() < route.down_after_s
    }
