from datetime import timedelta

import pytest

from config.settings import Settings
from pipeline.contract.lease import VACANT_S, Lease, Phase
from pipeline.queue.expiry import LeaseState, Lifetimes, backoff, lease_state
from tests.support.jobs import ENTRY, NOW, a_lease, entry, held

LIVES = Lifetimes(claim_s=60, unreadable_s=300, margin_s=5, look_after_s=25)
RUNNING = a_lease(phase=Phase.RUNNING, ttl_s=60)


def at_age(lease: Lease | None, age_s: float, **more: bool) -> LeaseState:
    return lease_state(held(lease, age_s, **more), NOW, None, LIVES)


@pytest.mark.parametrize(
    ("lease", "life_s"),
    [
        (RUNNING, 60),
        (a_lease(phase=Phase.SPAWNED, ttl_s=900), 900),
        (a_lease(phase=Phase.CLAIMED, ttl_s=900), 900),
        (a_lease().vacated(), VACANT_S),
    ],
)
def test_a_lease_is_due_when_its_life_and_the_margin_are_over(lease: Lease, life_s: float) -> None:
    assert at_age(lease, life_s + 5) is LeaseState.LIVE
    assert at_age(lease, life_s + 6) is LeaseState.DUE


def test_a_claim_whose_entry_still_stands_should_have_been_spawned_sooner() -> None:
    claim = held(a_lease(ttl_s=900), 66)
    assert lease_state(claim, NOW, None, LIVES) is LeaseState.LIVE
    assert lease_state(claim, NOW, entry(ENTRY, 67), LIVES) is LeaseState.DUE
    assert lease_state(claim, NOW, entry(ENTRY, 66), LIVES) is LeaseState.DUE
    assert (
        lease_state(held(a_lease(ttl_s=900), 65), NOW, entry(ENTRY, 67), LIVES) is LeaseState.LIVE
    )


def test_an_entry_younger_than_the_claim_was_submitted_again() -> None:
    claim = held(a_lease(ttl_s=900), 66)
    assert lease_state(claim, NOW, entry(ENTRY, 65), LIVES) is LeaseState.LIVE


def test_a_claim_never_lives_longer_than_it_says_itself() -> None:
    short = held(a_lease(ttl_s=10), 16)
    assert lease_state(short, NOW, entry(ENTRY, 20), LIVES) is LeaseState.DUE


@pytest.mark.parametrize("phase", [Phase.SPAWNED, Phase.RUNNING])
def test_an_entry_beside_a_later_phase_shortens_nothing(phase: Phase) -> None:
    later = held(a_lease(phase=phase, ttl_s=900), 100)
    assert lease_state(later, NOW, entry(ENTRY, 200), LIVES) is LeaseState.LIVE


def test_a_retry_is_due_at_its_time_by_the_clock_of_the_listing() -> None:
    def at(seconds: float) -> LeaseState:
        lease = a_lease().waiting(not_before=NOW + timedelta(seconds=seconds))
        return at_age(lease, 1_000_000)

    assert at(1) is LeaseState.LIVE
    assert at(0) is LeaseState.DUE
    assert at(-1) is LeaseState.DUE


def test_a_retry_without_a_time_is_due() -> None:
    assert at_age(a_lease(phase=Phase.RETRY), 0) is LeaseState.DUE


def test_a_vacant_lease_is_due_as_soon_as_there_is_something_to_take() -> None:
    vacant = held(a_lease().vacated(), 0)
    assert lease_state(vacant, NOW, None, LIVES) is LeaseState.LIVE
    assert lease_state(vacant, NOW, entry(ENTRY), LIVES) is LeaseState.DUE


def test_a_lease_that_changed_is_read_when_it_might_be_waiting_for_its_retry() -> None:
    assert at_age(None, 25) is LeaseState.LIVE
    assert at_age(None, 26) is LeaseState.UNKNOWN


def test_a_lease_that_does_not_parse_is_taken_over_in_the_end() -> None:
    assert at_age(None, 305, unreadable=True) is LeaseState.LIVE
    assert at_age(None, 306, unreadable=True) is LeaseState.DUE


def test_lifetimes_come_from_the_settings() -> None:
    settings = Settings(
        claim_seconds=30,
        spawned_seconds=400,
        expiry_margin_seconds=2,
        running_seconds=60,
        renew_seconds=20,
    )
    assert Lifetimes.of(settings) == Lifetimes(30, 400, 2, 25)


def test_the_pauses_between_attempts_double_up_to_the_cap() -> None:
    pauses = backoff(Settings(backoff_base_seconds=5, backoff_cap_seconds=60))
    assert [pauses.pause_s(attempt) for attempt in range(1, 7)] == [5, 10, 20, 40, 60, 60]
