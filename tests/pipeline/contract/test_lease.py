import json
from datetime import timedelta
from typing import Any

import pytest

from pipeline.contract.lease import Lease, Phase, Progress, Spent, says_ended
from tests.pipeline.dispatcher.test_survey import lease
from tests.support.pipeline_fixture import NOON


def started(base: Lease, **changes: Any) -> Lease:
    values = {
        "nonce": "n",
        "owner": "worker",
        "attempt": base.attempt,
        "call_id": None,
        "ttl_s": 60.0,
        "rate_usd_per_s": 0.5,
        "now": NOON,
    }
    return base.started(**{**values, **changes})


def test_a_lease_comes_back_from_its_bytes() -> None:
    whole = started(lease("a")).with_(progress=Progress(fraction=0.5, step="KSampler"))
    assert Lease.parse(whole.body()) == whole


@pytest.mark.parametrize("worker", ["w", "w2"])
@pytest.mark.parametrize("committed", [True, False])
def test_its_length_says_in_a_listing_whether_its_job_has_ended(
    worker: str, committed: bool
) -> None:
    body = lease("a", owner=worker, committed=committed).body()
    assert says_ended(len(body)) == committed
    assert Lease.parse(body) == lease("a", owner=worker, committed=committed)


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b"\xff", b'{"id": "A"}'])
def test_bytes_that_are_no_lease_are_none(body: bytes) -> None:
    assert Lease.parse(body) is None


def test_a_lease_of_yesterday_has_the_defaults_of_what_it_lacks() -> None:
    yesterday = lease("a").body().replace(b'"v": 1, ', b"", 1)
    assert b'"v"' not in yesterday
    assert Lease.parse(yesterday) == lease("a")


def test_every_body_says_its_version() -> None:
    assert json.loads(lease("a").body())["v"] == 1


def test_what_a_later_version_wrote_is_kept_by_whoever_rewrites_the_lease() -> None:
    tomorrow = json.loads(started(lease("a")).body())
    tomorrow |= {"v": 2, "restarts": 3, "spent": {"usd": 0.5, "by_gpu": {"H100": 0.5}}}
    read = Lease.parse(json.dumps(tomorrow).encode())
    assert read is not None
    for rewritten in (
        read.with_(),
        read.waiting(not_before=NOON),
        read.vacated(),
        read.taken_over("c2", "other", Phase.SPAWNED, 900, NOON + timedelta(seconds=4)),
        started(read, attempt=9, now=NOON + timedelta(seconds=4)),
    ):
        body = json.loads(rewritten.body())
        assert (body["v"], body["restarts"]) == (2, 3)
        assert body["spent"]["by_gpu"] == {"H100": 0.5}


def test_whoever_rewrites_a_lease_keeps_the_name_of_its_lora() -> None:
    spawned = lease("a", lora="loras/film.safetensors")
    for rewritten in (
        started(spawned),
        spawned.waiting(not_before=NOON),
        spawned.taken_over("c2", "other", Phase.SPAWNED, 900, NOON),
    ):
        assert rewritten.lora == spawned.lora
        assert Lease.parse(rewritten.body()) == rewritten
    assert b"lora" not in lease("a").body()


def test_no_two_writes_have_the_same_bytes() -> None:
    claimed = lease("a", phase=Phase.CLAIMED)
    running = started(claimed)
    bodies = [claimed.body(), running.body()]
    for _ in range(3):
        running = running.with_()
        bodies.append(running.body())
    retry = running.waiting(not_before=NOON)
    again = retry.taken_over("c2", "other", Phase.SPAWNED, 60, NOON)
    bodies += [retry.body(), again.body(), started(again, nonce="n2").body()]
    assert len(set(bodies)) == len(bodies)


def test_a_take_over_is_the_next_attempt_under_a_new_claim() -> None:
    taken = started(lease("a", attempt=2)).taken_over("c2", "other", Phase.SPAWNED, 900, NOON)
    assert (taken.attempt, taken.claim, taken.nonce, taken.seq) == (3, "c2", "c2", 0)
    assert (taken.call_id, taken.progress, taken.started_at) == (None, None, None)


def test_the_gpu_that_a_job_must_have_outlives_its_attempts() -> None:
    waiting = started(lease("a")).waiting(not_before=NOON, gpu="H100")
    taken = waiting.taken_over("c2", "other", Phase.SPAWNED, 900, NOON)
    assert (taken.gpu, started(taken).gpu) == ("H100", "H100")


def test_a_start_keeps_the_claim_that_it_was_spawned_for() -> None:
    running = started(lease("a", claim="c", phase=Phase.SPAWNED))
    assert (running.claim, running.nonce, running.phase) == ("c", "n", Phase.RUNNING)
    assert running.spent == Spent()


def test_a_lost_execution_is_paid_until_it_was_given_up() -> None:
    running = started(lease("a", spent=Spent(usd=1.0)))
    taken = running.taken_over("c2", "other", Phase.SPAWNED, 60, NOON + timedelta(seconds=8))
    assert taken.spent == Spent(usd=5.0, upper_bound=True)


def test_a_lost_execution_is_paid_with_the_start_that_it_waited_for() -> None:
    running = started(lease("a"), cold_s=20.0)
    taken = running.taken_over("c2", "other", Phase.SPAWNED, 60, NOON + timedelta(seconds=8))
    assert (taken.spent.usd, taken.cold_s) == (14.0, 0.0)
    warm = started(taken, now=NOON + timedelta(seconds=9))
    again = warm.taken_over("c3", "other", Phase.SPAWNED, 60, NOON + timedelta(seconds=11))
    assert again.spent.usd == 15.0


def test_a_second_execution_of_the_same_claim_pays_for_the_first() -> None:
    running = started(lease("a"))
    second = started(running, attempt=2, nonce="n2", now=NOON + timedelta(seconds=4))
    assert second.spent == Spent(usd=2.0, upper_bound=True)


def test_an_attempt_that_was_handed_back_is_not_paid_twice() -> None:
    handed = started(lease("a")).waiting(
        not_before=NOON, spent=Spent(usd=2.0), started_at=None, error=None
    )
    taken = handed.taken_over("c2", "other", Phase.SPAWNED, 60, NOON + timedelta(hours=1))
    assert taken.spent == Spent(usd=2.0)


def test_a_clock_that_went_back_costs_nothing() -> None:
    taken = started(lease("a")).taken_over(
        "c2", "other", Phase.SPAWNED, 60, NOON - timedelta(seconds=9)
    )
    assert taken.spent.usd == 0


def test_a_lost_execution_is_a_failure_and_one_that_stopped_in_good_order_is_none() -> None:
    running = started(lease("a"))
    for base, failures in ((running, 1), (running.stopped_in_good_order(), 0)):
        taken = base.taken_over("c2", "other", Phase.SPAWNED, 900, NOON)
        rerun = started(base, nonce="n2", attempt=2)
        assert (taken.failures, rerun.failures) == (failures, failures)
        assert (taken.stopped, rerun.stopped) == (False, False)
    assert running.stopped_in_good_order().preemptions == 1


def test_a_first_start_is_no_failure_and_ends_the_waits() -> None:
    begun = started(lease("a", waits=4, failures=1))
    assert (begun.waits, begun.failures) == (0, 1)


@pytest.mark.parametrize(
    "field",
    [
        {"not_before": "2026-01-01T12:00:00"},
        {"submitted_at": "2026-01-01T12:00:00"},
        {"outages": [{"platform": "modal", "since": "2026-01-01", "until": "2026-01-01"}]},
        {"ttl_s": float("inf")},
        {"ttl_s": 1e30},
        {"spent": {"usd": float("nan")}},
        {"spent": {"usd": -5}},
        {"estimate_usd": float("inf")},
        {"rate_usd_per_s": -1},
        {"cold_s": float("nan")},
    ],
)
def test_numbers_and_times_that_nobody_can_reckon_with_make_no_lease(field: dict[str, Any]) -> None:
    document = json.loads(lease("a").body())
    assert Lease.parse(json.dumps(document).encode()) is not None
    assert Lease.parse(json.dumps(document | field).encode()) is None
