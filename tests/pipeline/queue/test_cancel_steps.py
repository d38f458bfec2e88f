from typing import Any

from pipeline.contract.keys import MAX_BYTES
from pipeline.contract.result import Result, Status
from pipeline.queue.cancel_steps import (
    AdoptWaiting,
    Cancellation,
    CommitCancel,
    FindAdopted,
    FindLease,
    ReadWaiting,
)
from pipeline.queue.protocol import (
    Committed,
    CreateManifest,
    CreateResult,
    NotMine,
    ReadInbox,
    ReadManifest,
    ReadResult,
)
from pipeline.store.conditional import Lost, Won
from tests.support.jobs import BODY, ENTRY, a_result, stored


def cancelled(body: bytes) -> Result:
    return a_result(status=Status.CANCELLED, nonce="cancel", manifest_sha256=body.decode())


WAITING = Cancellation("job", ENTRY, cancelled)
ADOPTED = Cancellation("job", None, cancelled)


def test_a_job_that_has_ended_stays_as_it_is() -> None:
    step = FindLease(WAITING)
    assert step.call == ReadResult("job")
    assert step.next(stored(a_result().body())) == NotMine()
    assert step.next(None) == FindAdopted(WAITING)


def test_a_job_that_was_adopted_is_cancelled_with_its_manifest() -> None:
    step = FindAdopted(WAITING)
    assert step.call == ReadManifest("job")
    assert step.next(stored(BODY)) == CommitCancel(cancelled(BODY))


def test_a_job_that_waits_is_read_first() -> None:
    assert FindAdopted(WAITING).next(None) == ReadWaiting(WAITING)
    assert FindAdopted(ADOPTED).next(None) == NotMine()


def test_a_waiting_job_is_adopted() -> None:
    step = ReadWaiting(WAITING)
    assert step.call == ReadInbox(ENTRY)
    assert step.next(stored(BODY)) == AdoptWaiting(WAITING, BODY)


def test_an_entry_that_went_meanwhile_was_adopted_by_another() -> None:
    assert ReadWaiting(WAITING).next(None) == FindLease(ADOPTED)


def test_a_body_too_large_is_left_to_the_dispatcher() -> None:
    step: Any = ReadWaiting(WAITING)
    assert isinstance(step.next(stored(BODY, size=MAX_BYTES)), AdoptWaiting)
    assert step.next(stored(BODY, size=MAX_BYTES + 1)) == NotMine()


def test_the_manifest_that_stands_is_the_one_that_is_cancelled() -> None:
    step = AdoptWaiting(WAITING, BODY)
    assert step.call == CreateManifest("job", BODY)
    assert step.next(Won("", fresh=True)) == CommitCancel(cancelled(BODY))
    assert step.next(Lost(stored(b"other"))) == CommitCancel(cancelled(b"other"))


def test_a_cancel_is_a_commit() -> None:
    step = CommitCancel(cancelled(BODY))
    assert step.call == CreateResult(cancelled(BODY))
    assert step.next(Won("", fresh=True)) == Committed(cancelled(BODY), None, "")
    assert step.next(Lost(stored(a_result().body()))) == NotMine()
