from datetime import timedelta
from typing import Any

import pytest

from pipeline.contract.lease import Lease, Outage, Overflow, Phase, Spent
from pipeline.queue.claim import Claimant, claim, left_platform, take_over
from pipeline.queue.claim_steps import Claim, ClaimTask, TakeOver
from pipeline.queue.platforms import Placement
from tests.support.jobs import ENTRY, NOW, a_lease, entry, held

TAKER = Claimant("fresh", "me", Placement(900.0))


def test_a_claim_knows_what_the_key_and_the_listing_say() -> None:
    lease = Lease(
        id="job",
        entry=ENTRY,
        model="flux-dev",
        tenant="acme",
        attempt=1,
        claim="fresh",
        nonce="fresh",
        owner="me",
        phase=Phase.CLAIMED,
        ttl_s=900.0,
        submitted_at=entry(ENTRY, 7).last_modified,
    )
    assert claim(entry(ENTRY, 7), TAKER) == Claim(ClaimTask(lease, first_claim=True))


def test_a_bare_key_tells_neither_tenant_nor_model() -> None:
    lease = claim(entry("inbox/job.json"), TAKER).task.lease
    assert (lease.id, lease.entry, lease.model, lease.tenant) == (
        "job",
        "inbox/job.json",
        None,
        None,
    )


@pytest.mark.parametrize(
    ("was", "becomes"),
    [
        (Phase.CLAIMED, Phase.CLAIMED),
        (Phase.SPAWNED, Phase.SPAWNED),
        (Phase.RUNNING, Phase.SPAWNED),
        (Phase.RETRY, Phase.SPAWNED),
    ],
)
def test_a_take_over_is_the_next_attempt_under_the_listed_etag(was: Phase, becomes: Phase) -> None:
    taken = take_over(held(a_lease(phase=was, attempt=2), 100), entry(ENTRY), TAKER, NOW)
    lease = taken.task.lease
    unstarted = "claim-1" if was in (Phase.CLAIMED, Phase.SPAWNED) else None
    assert taken == TakeOver(ClaimTask(lease, first_claim=False), "etag", unstarted)
    assert (lease.attempt, lease.phase, lease.nonce, lease.claim) == (3, becomes, "fresh", "fresh")
    assert (lease.entry, lease.owner, lease.ttl_s) == (ENTRY, "me", 900.0)


OLDER, SAME, YOUNGER = 101, 100, 99


@pytest.mark.parametrize(
    ("phase", "committed", "entry_age_s", "counted"),
    [
        # Its entry is gone: it waited for a worker.
        (Phase.CLAIMED, False, None, "waits"),
        (Phase.SPAWNED, False, None, "waits"),
        # Its entry still stands: the dispatcher ended while it held the claim, or was about to
        # delete the entry of what it had spawned.
        (Phase.CLAIMED, False, OLDER, "lost_claims"),
        (Phase.CLAIMED, False, SAME, "lost_claims"),
        (Phase.SPAWNED, False, OLDER, "waits"),
        (Phase.SPAWNED, False, SAME, "waits"),
        # A younger entry was put again, and says nothing of this lease.
        (Phase.CLAIMED, False, YOUNGER, None),
        (Phase.SPAWNED, False, YOUNGER, None),
        # What ran is counted by the lease itself, and what is over counts nothing.
        (Phase.RUNNING, False, None, None),
        (Phase.RETRY, False, None, None),
        (Phase.SPAWNED, True, None, None),
        (Phase.CLAIMED, True, OLDER, None),
    ],
)
def test_a_lapse_counts_as_what_it_was(
    phase: Phase, committed: bool, entry_age_s: float | None, counted: str | None
) -> None:
    was = a_lease(phase=phase, committed=committed, waits=7, lost_claims=4)
    beside = None if entry_age_s is None else entry(ENTRY, entry_age_s)
    lease = take_over(held(was, 100), beside, TAKER, NOW).task.lease
    grown = {
        name for name in ("waits", "lost_claims") if getattr(lease, name) == getattr(was, name) + 1
    }
    assert grown == ({counted} if counted else set())


@pytest.mark.parametrize(
    ("age_s", "becomes"),
    [(OLDER, Phase.CLAIMED), (SAME, Phase.CLAIMED), (YOUNGER, Phase.SPAWNED)],
)
def test_a_spawned_job_whose_own_entry_stands_is_claimed_so_that_the_entry_goes(
    age_s: float, becomes: Phase
) -> None:
    spawned = held(a_lease(phase=Phase.SPAWNED), 100)
    assert take_over(spawned, entry(ENTRY, age_s), TAKER, NOW).task.lease.phase is becomes


def test_an_entry_is_claimed_over_a_vacant_lease() -> None:
    vacant = held(a_lease(entry="inbox/job.json", attempt=2).vacated(), 100)
    taken = take_over(vacant, entry(ENTRY, 7), TAKER, NOW)
    fresh = claim(entry(ENTRY, 7), TAKER).task.lease
    assert taken == TakeOver(ClaimTask(fresh, first_claim=False), "etag")


def test_a_vacant_lease_is_looked_into_again() -> None:
    taken = take_over(held(a_lease().vacated(), 100), None, TAKER, NOW)
    fresh = claim(entry(ENTRY), TAKER).task.lease
    assert taken == TakeOver(ClaimTask(fresh, first_claim=False), "etag")


def test_an_unreadable_lease_is_taken_over_with_the_entry_beside_it() -> None:
    unreadable = held(None, 1000, unreadable=True)
    assert take_over(unreadable, entry(ENTRY), TAKER, NOW).task.lease.entry == ENTRY
    bare = take_over(unreadable, None, TAKER, NOW).task.lease
    assert (bare.id, bare.entry, bare.attempt) == ("job", "inbox/job.json", 1)
    assert bare.submitted_at == unreadable.entry.last_modified


@pytest.mark.parametrize(("beside", "phase"), [(True, Phase.CLAIMED), (False, Phase.SPAWNED)])
def test_the_entry_of_a_job_cancelled_while_it_waited_goes_with_the_lease(
    beside: bool, phase: Phase
) -> None:
    owing = held(a_lease().waiting(not_before=NOW, committed=True, events_out=True), 100)
    lease = take_over(owing, entry(ENTRY) if beside else None, TAKER, NOW).task.lease
    assert (lease.phase, lease.committed, lease.events_out) == (phase, True, True)


# ── to another platform ───────────────────────────────────────────────────────────────────────────

WEST = Claimant("fresh", "me", Placement(900.0, "west", Overflow.DONE), overflow_usd=0.02)


def in_the_east(**fields: Any) -> Lease:
    return a_lease(**{"platform": "east", "overflow": Overflow.OPEN, "waits": 2, **fields})


@pytest.mark.parametrize("phase", [Phase.CLAIMED, Phase.SPAWNED])
def test_an_overflow_is_no_wait_and_pays_for_the_start_that_it_left(phase: Phase) -> None:
    was = in_the_east(phase=phase, spent=Spent(usd=0.01))
    lease = take_over(held(was, 200), None, WEST, NOW).task.lease
    assert (lease.waits, lease.failures, lease.lost_claims) == (2, 0, 0)
    assert lease.spent == Spent(usd=0.03, upper_bound=True)
    assert (lease.platform, lease.overflow, lease.ttl_s) == ("west", Overflow.DONE, 900)
    since = NOW - timedelta(seconds=200)
    assert lease.outages == (Outage(platform="east", since=since, until=NOW),)


@pytest.mark.parametrize(
    ("changes", "entry_age_s"),
    [
        ({"overflow": Overflow.NONE}, None),
        ({"overflow": Overflow.DONE}, None),
        ({"phase": Phase.RUNNING}, None),
        ({"phase": Phase.RETRY}, None),
        ({"committed": True}, None),
        ({}, 300),  # its dispatcher died before the spawn
    ],
)
def test_any_other_lapse_is_no_overflow(changes: dict[str, Any], entry_age_s: float | None) -> None:
    was = held(in_the_east(**changes), 200)
    beside = None if entry_age_s is None else entry(ENTRY, entry_age_s)
    assert left_platform(was, beside) is None
    lease = take_over(was, beside, WEST, NOW).task.lease
    assert (lease.outages, lease.spent) == ((), Spent())
    assert lease.platform == "west"


def test_what_cannot_be_read_overflows_nowhere() -> None:
    assert left_platform(held(None, 1000, unreadable=True), None) is None


def test_a_claim_says_where_its_job_goes() -> None:
    lease = claim(entry(ENTRY, 7), WEST).task.lease
    assert (lease.platform, lease.overflow, lease.ttl_s) == ("west", Overflow.DONE, 900)
