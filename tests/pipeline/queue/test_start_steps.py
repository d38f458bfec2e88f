from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from pipeline.contract.lease import Phase, Progress
from pipeline.queue.protocol import ReadResult, ReplaceLease, Stale, Started
from pipeline.queue.start_steps import AskResult, Execution, Restart, Start
from pipeline.store.conditional import Lost, Won
from tests.support.jobs import NOW, a_lease, a_result, stored

EXECUTION = Execution(
    nonce="worker-2",
    owner="worker",
    call_id="call",
    ttl_s=60.0,
    rate_usd_per_s=0.5,
    now=NOW,
    max_failures=3,
)
RUNNING = replace(EXECUTION, nonce="worker-1").lease(a_lease(), 1)
START = Start(EXECUTION, a_lease(), "claimed")


def test_a_start_makes_the_claimed_lease_its_own() -> None:
    lease = START.call.lease
    assert START.call == ReplaceLease(lease, "claimed")
    assert (lease.attempt, lease.nonce, lease.claim) == (1, "worker-2", "claim-1")
    assert (lease.phase, lease.owner, lease.call_id) == (Phase.RUNNING, "worker", "call")
    assert (lease.ttl_s, lease.rate_usd_per_s, lease.started_at) == (60.0, 0.5, NOW)
    assert lease.progress == Progress(step="start")
    assert START.next(Won("running", fresh=True)) == Started(lease, "running")


def test_a_second_execution_of_the_same_input_asks_whether_the_job_is_done() -> None:
    step: Any = START.next(Lost(stored(RUNNING.body(), "first")))
    assert step == AskResult(Restart(EXECUTION, RUNNING, "first"))
    assert step.call == ReadResult("job")
    assert step.next(None) == Restart(EXECUTION, RUNNING, "first")
    assert step.next(stored(a_result().body())) == Stale()


def test_a_second_execution_is_the_next_attempt() -> None:
    step = Restart(EXECUTION, RUNNING, "first")
    lease = step.call.lease
    assert step.call == ReplaceLease(lease, "first")
    assert (lease.attempt, lease.nonce, lease.claim) == (2, "worker-2", "claim-1")
    assert step.next(Won("second", fresh=True)) == Started(lease, "second")
    assert step.next(Lost(None)) == Stale()


def test_a_second_execution_pays_for_the_first() -> None:
    later = replace(EXECUTION, now=NOW + timedelta(seconds=10))
    lease = Restart(later, RUNNING, "first").call.lease
    assert (lease.spent.usd, lease.spent.upper_bound) == (5.0, True)


@pytest.mark.parametrize(
    "current",
    [
        None,
        stored(b"no lease"),
        stored(a_lease(phase=Phase.RUNNING, claim="another").body()),
        stored(a_lease().body()),
        stored(RUNNING.waiting(not_before=NOW).body()),
        stored(a_lease(phase=Phase.RUNNING, failures=2).body()),
        stored(a_lease(phase=Phase.RUNNING, stopped=True, preemptions=20).body()),
    ],
    ids=[
        "gone",
        "no lease",
        "claimed anew",
        "not running",
        "handed back",
        "attempts used up",
        "preempted",
    ],
)
def test_an_execution_whose_lease_has_moved_on_is_stale(current: Any) -> None:
    assert START.next(Lost(current)) == Stale()


def test_the_last_attempt_may_still_be_run() -> None:
    second = a_lease(phase=Phase.RUNNING, attempt=7, failures=1)
    assert isinstance(START.next(Lost(stored(second.body()))), AskResult)
