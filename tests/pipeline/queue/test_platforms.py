from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.contract.lease import Outage, Overflow, Phase
from pipeline.queue.platforms import (
    NEVER,
    Placement,
    PlatformHealth,
    PlatformState,
    RoutePlatforms,
    Written,
    goes_elsewhere,
    is_left_to_others,
    place,
    platform_health,
    refused,
)
from tests.support.jobs import NOW, a_lease

UP, SUSPECT, DOWN = PlatformState.UP, PlatformState.SUSPECT, PlatformState.DOWN
NONE, OPEN, DONE = Overflow.NONE, Overflow.OPEN, Overflow.DONE
TWO = RoutePlatforms(("east", "west"), overflow_after_s=180, down_after_s=300)
ONE = RoutePlatforms(("east",), overflow_after_s=180, down_after_s=300)


def ago(seconds: float) -> Any:
    return NOW - timedelta(seconds=seconds)


def outage(since_s: float, until_s: float | None = None, platform: str = "east") -> Outage:
    until = since_s if until_s is None else until_s
    return Outage(platform=platform, since=ago(since_s), until=ago(until))


def with_outage(*outages: Outage, **fields: Any) -> Written:
    return a_lease(platform="west", outages=outages, **fields), ago(1)


def running(started_s: float, platform: str = "east") -> Written:
    return a_lease(phase=Phase.RUNNING, platform=platform, started_at=ago(started_s)), ago(1)


def waiting(age_s: float, **fields: Any) -> Written:
    given = {"phase": Phase.CLAIMED, "platform": "east", "overflow": OPEN, **fields}
    return a_lease(**given), ago(age_s)


def state(*leases: Written) -> PlatformState:
    return platform_health("east", leases, NOW, 300).state


# ── how a platform is, by the leases ──────────────────────────────────────────────────────────────


def test_a_platform_that_nobody_complains_of_is_up() -> None:
    assert state() is UP
    assert state(running(10), waiting(100)) is UP
    assert state(with_outage(outage(10, platform="west"))) is UP


@pytest.mark.parametrize(("until_s", "wanted"), [(0, DOWN), (299, DOWN), (300, SUSPECT)])
def test_after_an_outage_it_is_down_for_a_time_and_then_suspect(
    until_s: float, wanted: PlatformState
) -> None:
    assert state(with_outage(outage(until_s))) is wanted


def test_the_latest_outage_counts() -> None:
    health = platform_health(
        "east",
        [with_outage(outage(400)), with_outage(outage(20)), with_outage(outage(90))],
        NOW,
        300,
    )
    assert health == PlatformHealth(DOWN, ago(20))


@pytest.mark.parametrize(("started_s", "wanted"), [(99, UP), (100, DOWN), (101, DOWN), (200, DOWN)])
def test_a_start_after_the_job_was_given_ends_an_outage(
    started_s: float, wanted: PlatformState
) -> None:
    """Of a mute platform: given to it 100 s ago, known 10 s ago."""
    assert state(with_outage(outage(100, 10)), running(started_s)) is wanted


def test_a_start_elsewhere_ends_nothing() -> None:
    assert state(with_outage(outage(10)), running(5, platform="west")) is DOWN


def test_a_start_ends_the_outages_before_it_and_no_later_one() -> None:
    assert state(with_outage(outage(400)), running(100), with_outage(outage(50))) is DOWN
    assert state(with_outage(outage(400)), running(100)) is UP


@pytest.mark.parametrize(
    ("probe", "wanted"),
    [
        (waiting(10), DOWN),
        (waiting(310), DOWN),  # of the same second
        (waiting(10, phase=Phase.SPAWNED), DOWN),
        (waiting(311), SUSPECT),  # given before the outage was known
        (waiting(10, platform="west"), SUSPECT),
        (waiting(10, overflow=DONE), SUSPECT),
        (waiting(10, phase=Phase.RETRY), SUSPECT),
    ],
)
def test_while_a_probe_waits_there_it_stays_down(probe: Written, wanted: PlatformState) -> None:
    assert state(with_outage(outage(310)), probe) is wanted


def test_a_probe_that_starts_ends_the_outage() -> None:
    probe = a_lease(phase=Phase.RUNNING, platform="east", overflow=OPEN, started_at=ago(5))
    assert state(with_outage(outage(310)), (probe, ago(1))) is UP


# ── where a job goes ──────────────────────────────────────────────────────────────────────────────


def health(east: PlatformState, west: PlatformState = UP) -> dict[str, PlatformHealth]:
    """The outage in the west is the older one."""
    known = {UP: NEVER, SUSPECT: ago(400), DOWN: ago(50)}
    older = {UP: NEVER, SUSPECT: ago(500), DOWN: ago(60)}
    return {"east": PlatformHealth(east, known[east]), "west": PlatformHealth(west, older[west])}


@pytest.mark.parametrize(
    ("east", "west", "goes", "overflow"),
    [
        (UP, UP, "east", OPEN),
        (UP, DOWN, "east", NONE),  # there is nowhere to go
        (DOWN, UP, "west", NONE),
        (SUSPECT, UP, "east", OPEN),  # the probe
        (DOWN, SUSPECT, "west", OPEN),
        (DOWN, DOWN, "west", OPEN),  # the older outage
        (SUSPECT, SUSPECT, "west", OPEN),
        (UP, SUSPECT, "east", NONE),
    ],
)
def test_a_new_job_goes_to_the_first_that_is_up(
    east: PlatformState, west: PlatformState, goes: str, overflow: Overflow
) -> None:
    placed = place(TWO, health(east, west), 900)
    assert placed == Placement(180 if overflow is OPEN else 900, goes, overflow)


@pytest.mark.parametrize("east", [UP, SUSPECT, DOWN])
def test_a_job_that_no_worker_started_goes_to_another_once(east: PlatformState) -> None:
    job = a_lease(platform="east", overflow=OPEN)
    assert place(TWO, health(east), 900, job, "east") == Placement(900, "west", DONE)
    for west in (UP, SUSPECT, DOWN):
        placed = place(TWO, health(east, west), 900, job, "east")
        assert (placed.platform, placed.overflow) == ("west", DONE)


def test_what_has_overflowed_waits_as_long_as_any_and_is_no_probe() -> None:
    job = a_lease(platform="west", overflow=DONE)
    assert place(TWO, health(UP), 900, job) == Placement(900, "east", DONE)
    assert place(TWO, health(SUSPECT), 900, job) == Placement(900, "west", DONE)


def test_a_retry_goes_to_the_first_that_is_up() -> None:
    job = a_lease(platform="west", overflow=OPEN)
    assert place(TWO, health(UP), 900, job) == Placement(180, "east", OPEN)


@pytest.mark.parametrize("east", [UP, SUSPECT, DOWN])
def test_a_single_platform_gets_all(east: PlatformState) -> None:
    found = health(east)
    assert place(ONE, found, 900) == Placement(900, "east", NONE)
    job = a_lease(platform="east", overflow=OPEN)
    assert place(ONE, found, 900, job, "east") == Placement(900, "east", DONE)


# ── a refusal ─────────────────────────────────────────────────────────────────────────────────────


def test_a_refusal_is_an_outage_of_that_moment_in_place_of_an_earlier_one() -> None:
    job = a_lease(platform="east", outages=(outage(400), outage(30, platform="west")))
    assert refused(job, NOW) == (outage(30, platform="west"), outage(0))
    assert refused(a_lease(), NOW) == ()


@pytest.mark.parametrize(
    ("outages", "wanted"),
    [
        ([outage(0)], True),
        ([outage(0), outage(299, platform="west")], False),
        ([outage(0), outage(300, platform="west")], True),
        ([], True),
    ],
)
def test_who_was_refused_pauses_once_every_platform_has_failed_it_lately(
    outages: Sequence[Outage], wanted: bool
) -> None:
    assert goes_elsewhere(TWO, a_lease(outages=outages), NOW) is wanted


def test_with_a_single_platform_a_refused_job_pauses() -> None:
    assert not goes_elsewhere(ONE, a_lease(outages=[outage(0)]), NOW)


# ── whatever the state ────────────────────────────────────────────────────────────────────────────

NAMES = st.lists(st.sampled_from("abcd"), min_size=1, max_size=4, unique=True)


@st.composite
def situations(draw: st.DrawFn) -> tuple[RoutePlatforms, dict[str, PlatformHealth], Any, bool]:
    names = draw(NAMES)
    found = {
        name: PlatformHealth(draw(st.sampled_from(PlatformState)), ago(draw(st.integers(0, 900))))
        for name in names
    }
    job = draw(
        st.none()
        | st.builds(a_lease, platform=st.sampled_from(names), overflow=st.sampled_from(Overflow))
    )
    open_ = job is not None and job.overflow is OPEN
    return RoutePlatforms(tuple(names), 180, 300), found, job, open_ and draw(st.booleans())


@given(situations())
def test_each_placement_keeps_to_the_rules(
    situation: tuple[RoutePlatforms, dict[str, PlatformHealth], Any, bool],
) -> None:
    route, found, job, overflows = situation
    placed = place(route, found, 900, job, job.platform if overflows else None)
    once = overflows or (job is not None and job.overflow is DONE)
    assert placed.platform in route.names
    assert (placed.overflow is DONE) == once, "it overflows once"
    assert placed.ttl_s == (180 if placed.overflow is OPEN else 900)
    assert placed.overflow is not OPEN or len(route.names) > 1
    if overflows and len(route.names) > 1:
        assert placed.platform != job.platform
    left = [name for name in route.names if not (overflows and name == job.platform)]
    up = [name for name in left or route.names if found[name].state is UP]
    chosen = found[placed.platform or ""]
    if up:
        assert chosen.state is not DOWN
        first = route.names.index(up[0])
        assert route.names.index(placed.platform or "") <= first, "in the route's order"
    if chosen.state is SUSPECT and up:
        assert placed.overflow is OPEN, "a probe costs no more than its overflow"


SHARED = RoutePlatforms(("east",), 180, 300, elsewhere=("west",))


@pytest.mark.parametrize(
    ("failed", "age_s", "left", "elsewhere"),
    [
        ((), 0, False, True),
        (("east",), 0, True, True),
        (("east",), 300, False, True),
        (("west",), 0, False, True),
        (("east", "west"), 0, False, False),
    ],
)
def test_a_job_that_failed_on_all_that_this_dispatcher_has_is_left_to_others_for_a_while(
    failed: tuple[str, ...], age_s: float, left: bool, elsewhere: bool
) -> None:
    then = NOW - timedelta(seconds=age_s)
    outages = tuple(Outage(platform=name, since=then, until=then) for name in failed)
    job = a_lease(outages=outages)
    assert is_left_to_others(SHARED, job, NOW) == left
    assert goes_elsewhere(SHARED, job, NOW) == elsewhere
    assert not is_left_to_others(TWO, job, NOW), "nobody else has another"
