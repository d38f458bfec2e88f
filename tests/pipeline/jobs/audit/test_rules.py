from datetime import timedelta
from typing import Any

import pytest

from config.settings import Settings
from events.stored_event import StoredEvent
from pipeline.contract.keys import manifest_key, result_key
from pipeline.contract.lease import VACANT_S, Lease, Phase
from pipeline.contract.result import Output, Result
from pipeline.jobs.audit.faults import FaultKind
from pipeline.jobs.audit.rules import (
    GRACE_S,
    Ended,
    HeldLease,
    JobFolder,
    Verdict,
    judge_ended,
    judge_held,
    judge_missing,
)
from pipeline.queue.expiry import Lifetimes
from tests.support.jobs import NOW, a_lease, a_result, held

LIFETIMES = Lifetimes.of(Settings(expiry_margin_seconds=0))


def kinds(verdict: Verdict) -> list[FaultKind]:
    return [fault.kind for fault in verdict.faults]


# ── leases ────────────────────────────────────────────────────────────────────────────────────────


def a_held(lease: Lease | None, age_s: float) -> HeldLease:
    return HeldLease(held(lease, age_s, unreadable=lease is None), NOW)


def test_the_events_of_a_held_job_are_judged_and_counted() -> None:
    first = StoredEvent(
        event="modal_new", uuid="u1", distinct_id="acme", timestamp="t", properties={}
    )
    second = first.model_copy(update={"properties": {"n": 1}})
    verdict = judge_held(a_held(a_lease(events=(first, second)), 0), LIFETIMES, job=True)

    assert kinds(verdict) == [FaultKind.EVENT_DIFFERS]
    assert (verdict.id, verdict.uuids, verdict.state) == ("job", ("u1",), "claimed")


@pytest.mark.parametrize("job", [True, False])
def test_a_lease_that_cannot_be_read_is_that_and_nothing_else(job: bool) -> None:
    verdict = judge_held(a_held(None, 1e6), LIFETIMES, job=job)

    assert kinds(verdict) == [FaultKind.LEASE_UNREADABLE]
    assert verdict.uuids == ()


@pytest.mark.parametrize(
    ("fields", "life_s"),
    [
        ({"phase": Phase.CLAIMED, "ttl_s": 900.0}, 900),
        ({"phase": Phase.SPAWNED, "ttl_s": 900.0}, 900),
        ({"phase": Phase.RUNNING, "ttl_s": 60.0}, 60),
        ({"phase": Phase.RETRY, "vacant": True, "ttl_s": VACANT_S}, VACANT_S),
    ],
)
def test_a_lease_is_past_its_life_when_a_dispatcher_had_time_to_take_it_over(
    fields: dict[str, Any], life_s: float
) -> None:
    def found(age_s: float, job: bool) -> list[FaultKind]:
        return kinds(judge_held(a_held(a_lease(**fields), age_s), LIFETIMES, job=job))

    assert found(life_s + GRACE_S, True) == found(life_s + GRACE_S, False) == []
    assert found(life_s + GRACE_S + 1, True) == [FaultKind.LEASE_LAPSED]
    assert found(life_s + GRACE_S + 1, False) == [FaultKind.LEASE_OF_NOTHING]


def test_a_retry_may_wait_for_a_place_for_ever() -> None:
    waiting = a_lease().waiting(not_before=NOW)

    assert kinds(judge_held(a_held(waiting, 1e6), LIFETIMES, job=True)) == []


# ── jobs ──────────────────────────────────────────────────────────────────────────────────────────


def folder(*keys: str, age_s: float = 0.0) -> JobFolder:
    return JobFolder("job", dict.fromkeys(keys, 3), NOW - timedelta(seconds=age_s))


def test_a_manifest_is_lost_when_it_is_too_old_to_be_just_submitted() -> None:
    key = manifest_key("job")

    assert kinds(judge_missing(folder(key, age_s=GRACE_S - 1), NOW)) == []
    assert kinds(judge_missing(folder(key, age_s=GRACE_S), NOW)) == [FaultKind.LOST]


def test_a_job_whose_manifest_was_aged_out_meanwhile_is_not_lost() -> None:
    assert kinds(judge_missing(folder(age_s=1e6), NOW)) == []


def an_output(name: str, **fields: Any) -> Output:
    return Output(
        key=f"jobs/job/out/a1/{name}.png",
        bytes=3,
        sha256="0" * 64,
        width=1,
        height=1,
        content_type="image/png",
        seed=1,
        **fields,
    )


def judged(result: Result, *keys: str) -> Verdict:
    whole = folder(manifest_key("job"), result_key("job"), *keys)
    return judge_ended(Ended(whole, result, b""), LIFETIMES)


SHA256_OF_NOTHING = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def test_a_composition_is_an_output_like_any_other() -> None:
    picture = an_output("image-0", composition=an_output("image-0-composition"))
    result = a_result(outputs=(picture,), manifest_sha256=SHA256_OF_NOTHING)
    keys = [picture.key, "jobs/job/out/a1/image-0-composition.png"]

    whole = judged(result, *keys)
    assert kinds(whole) == []
    assert (whole.outputs, whole.output_bytes, whole.waste) == (2, 6, 0)
    [fault] = judged(result, keys[0]).faults
    assert (fault.kind, fault.key) == (FaultKind.OUTPUT_MISSING, keys[1])


def test_the_metrics_of_the_attempt_that_counts_are_no_waste() -> None:
    result = a_result(attempt=2, manifest_sha256=SHA256_OF_NOTHING)
    verdict = judged(result, *(f"jobs/job/out/a{n}/metrics.json" for n in (1, 2, 3)))

    assert kinds(verdict) == []
    assert (verdict.waste, verdict.waste_bytes) == (2, 6)
