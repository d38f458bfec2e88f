"""Single steps; how they work together is test_exhaustive's."""

import json
from dataclasses import replace
from typing import Any

import pytest

from pipeline.contract.keys import MAX_BYTES
from pipeline.contract.lease import Phase
from pipeline.contract.result import Status
from pipeline.queue.claim_steps import (
    Adopt,
    CheckResult,
    Claim,
    ClaimTask,
    Commit,
    Confirm,
    Conflict,
    Decide,
    DropEntry,
    FindManifest,
    HandBack,
    Launch,
    ReadEntry,
    Release,
    TakeOver,
    size_of_too_large,
    too_large,
)
from pipeline.queue.protocol import (
    Committed,
    CreateLease,
    CreateManifest,
    CreateResult,
    DropInbox,
    Finished,
    HandedBack,
    NotMine,
    Preflight,
    ReadInbox,
    ReadManifest,
    ReadResult,
    RejectConflict,
    ReplaceLease,
    Spawn,
    Spawned,
)
from pipeline.queue.spawn import SpawnPayload
from pipeline.store.conditional import Lost, Won
from tests.support.jobs import BODY, ENTRY, NOW, a_lease, a_result, stored

TASK = ClaimTask(a_lease(), first_claim=True, etag="mine")
READ = replace(TASK, entry=ENTRY, entry_etag="etag", body=BODY)
TAKEN_OVER = replace(TASK, first_claim=False)
REF = SpawnPayload(id="job", claim="claim-1", etag="mine", model="flux-dev", claimed_at=NOW)
RESULT = stored(a_result().body())


def test_a_claim_creates_the_lease_and_then_reads() -> None:
    step = Claim(ClaimTask(a_lease(), first_claim=True))
    assert step.call == CreateLease(a_lease())
    assert step.next(Won("mine", fresh=True)) == ReadEntry(TASK)
    assert step.next(Won("mine", fresh=False)) == ReadEntry(TASK)
    assert step.next(Lost(stored(b"another"))) == NotMine()


def test_a_take_over_replaces_the_listed_lease() -> None:
    step = TakeOver(TASK, "listed")
    assert step.call == ReplaceLease(a_lease(), "listed")
    assert step.next(Won("new", fresh=True)) == ReadEntry(replace(TASK, etag="new"))
    assert step.next(Lost(None)) == NotMine()


def test_a_take_over_of_a_spawned_job_needs_no_inbox() -> None:
    task = replace(TASK, lease=a_lease(phase=Phase.SPAWNED))
    assert TakeOver(task, "listed").next(Won("mine", fresh=True)) == FindManifest(task)


def test_what_the_inbox_holds_is_adopted() -> None:
    step = ReadEntry(TASK)
    assert step.call == ReadInbox(ENTRY)
    assert step.next(stored(BODY)) == Adopt(READ)
    assert step.next(None) == FindManifest(TASK)


@pytest.mark.parametrize("over", [0, 1])
def test_a_body_that_is_too_large_is_named_instead_of_copied(over: int) -> None:
    size = MAX_BYTES + over
    step: Any = ReadEntry(TASK).next(stored(b"x" * size, size=size))
    if over:
        assert json.loads(step.task.body) == {"too_large": {"bytes": size, "etag": "etag"}}
    else:
        assert step.task.body == b"x" * size


def test_the_size_of_a_body_too_large_is_found_again() -> None:
    assert size_of_too_large(too_large(stored(b"", size=300_000))) == 300_000
    assert size_of_too_large(BODY) is None
    assert size_of_too_large(too_large(stored(b"", size=300_000)) + b" ") is None


def test_a_taken_job_is_read_from_its_manifest() -> None:
    step = FindManifest(TASK)
    assert step.call == ReadManifest("job")
    assert step.next(stored(BODY)) == CheckResult(replace(TASK, body=BODY))
    assert step.next(None) == Release(TASK)


def test_a_claim_of_nothing_leaves_a_vacant_lease() -> None:
    step = Release(TASK)
    assert step.call == ReplaceLease(a_lease().vacated(), "mine")
    assert step.next(Won("", fresh=True)) == NotMine()
    assert step.next(Lost(None)) == NotMine()


def test_only_a_manifest_that_is_certainly_new_needs_no_look_for_a_result() -> None:
    step = Adopt(READ)
    assert step.call == CreateManifest("job", BODY)
    assert step.next(Won("", fresh=True)) == Decide(READ)
    assert step.next(Won("", fresh=False)) == CheckResult(READ)
    assert step.next(Lost(stored(b"other"))) == Conflict(READ, b"other")


def test_another_body_for_a_used_id_is_filed_and_the_adopted_one_goes_on() -> None:
    step = Conflict(READ, b"other")
    assert step.call == RejectConflict(ENTRY, BODY)
    goes_on = CheckResult(replace(TASK, body=b"other"))
    assert step.next(None) == DropEntry(ENTRY, "etag", goes_on)


def test_a_job_without_a_result_is_judged() -> None:
    step = CheckResult(READ)
    assert step.call == ReadResult("job")
    assert step.next(None) == Decide(READ)


def test_a_duplicate_is_confirmed_before_it_is_called_one() -> None:
    assert CheckResult(READ).next(RESULT) == DropEntry(ENTRY, "etag", Confirm(READ, RESULT))
    assert CheckResult(TASK).next(RESULT) == Confirm(TASK, RESULT)


def test_a_duplicate_whose_claim_was_taken_over_is_left_alone() -> None:
    step = Confirm(TASK, RESULT)
    fenced = a_lease().with_(committed=True)
    assert step.call == ReplaceLease(fenced, "mine")
    assert step.next(Won("new", fresh=True)) == Finished(RESULT, fenced, "new", first_claim=True)
    assert step.next(Lost(None)) == NotMine()


def test_a_job_taken_over_with_a_result_owes_its_events() -> None:
    end = Finished(RESULT, a_lease(), "mine", first_claim=False)
    assert CheckResult(TAKEN_OVER).next(RESULT) == end


def test_the_decision_spawns_commits_or_hands_back() -> None:
    step = Decide(READ)
    assert step.call == Preflight(a_lease(), "mine", BODY)
    assert step.next(REF) == Launch(READ, REF)
    assert step.next(a_result()) == Commit(READ, a_result())
    waiting = a_lease().waiting(not_before=NOW)
    assert step.next(waiting) == HandBack(waiting, "mine")


def test_the_entry_goes_only_after_the_spawn() -> None:
    step = Launch(READ, REF)
    assert step.call == Spawn(REF, a_lease())
    spawned = Spawned(REF, a_lease(), BODY)
    assert step.next(None) == DropEntry(ENTRY, "etag", spawned)
    assert Launch(replace(READ, entry=None), REF).next(None) == spawned


def test_a_job_that_the_engine_refuses_is_handed_back_with_its_entry() -> None:
    waiting = a_lease().waiting(not_before=NOW)
    step: Any = Launch(READ, REF).next(waiting)
    assert step == HandBack(waiting, "mine")
    assert step.call == ReplaceLease(waiting, "mine")
    assert step.next(Won("", fresh=True)) == step.next(Lost(None)) == HandedBack()


def test_a_refusal_is_committed_and_then_the_entry_goes() -> None:
    refused = a_result(status=Status.REJECTED)
    step = Commit(READ, refused)
    assert step.call == CreateResult(refused)
    committed = Committed(refused, a_lease(), "mine")
    assert step.next(Won("", fresh=True)) == DropEntry(ENTRY, "etag", committed)
    assert step.next(Won("", fresh=False)) == DropEntry(ENTRY, "etag", committed)


def test_a_refusal_that_comes_second_settles_the_result_that_stands() -> None:
    there = Finished(RESULT, a_lease(), "mine", first_claim=False)
    assert Commit(READ, a_result(nonce="late")).next(Lost(RESULT)) == DropEntry(
        ENTRY, "etag", there
    )


def test_dropping_the_entry_goes_on_with_what_follows() -> None:
    step = DropEntry(ENTRY, "etag", Decide(READ))
    assert step.call == DropInbox(ENTRY, "etag")
    assert step.next(None) == Decide(READ)
