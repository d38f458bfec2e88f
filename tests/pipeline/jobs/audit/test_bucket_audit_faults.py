"""Each kind of fault that is planted in a bucket is found and named."""

from collections.abc import Callable

import pytest

from pipeline.contract.keys import manifest_key, plan_key, result_key
from pipeline.jobs.audit.faults import FaultKind
from pipeline.jobs.audit.part import Part
from tests.support.audits import (
    PICTURE,
    audited,
    begin_to_forget,
    break_the_result,
    change_the_manifest,
    change_the_output,
    claim_nothing,
    copy_another_lease,
    copy_another_result,
    cut_the_output,
    found,
    leave_the_entry,
    leave_the_lease,
    lose_a_rejected_entry,
    lose_the_manifest,
    lose_the_output,
    lose_the_plan,
    lose_the_result,
    overwrite_the_lease,
    put_a_note_among_leases,
    put_a_note_in_the_inbox,
    stop_the_dispatchers,
    take_the_uuid_of_another_job,
    tell_another_event_under_its_uuid,
    tell_it_twice,
    tell_it_twice_in_the_lease,
    write_what_is_forgotten,
)
from tests.support.pipeline_fixture import PipelineFixture

PLANTED: dict[Callable[[PipelineFixture], None], tuple[FaultKind, str]] = {
    lose_the_result: (FaultKind.LOST, manifest_key("good")),
    lose_the_manifest: (FaultKind.MANIFEST_MISSING, manifest_key("good")),
    change_the_manifest: (FaultKind.MANIFEST_DIFFERS, manifest_key("good")),
    break_the_result: (FaultKind.RESULT_UNREADABLE, result_key("good")),
    copy_another_result: (FaultKind.RESULT_UNREADABLE, result_key("good")),
    begin_to_forget: (FaultKind.ERASURE_UNFINISHED, result_key("good")),
    write_what_is_forgotten: (FaultKind.ERASURE_LEFT, PICTURE),
    lose_the_plan: (FaultKind.PLAN_MISSING, plan_key("good")),
    lose_the_output: (FaultKind.OUTPUT_MISSING, PICTURE),
    cut_the_output: (FaultKind.OUTPUT_SIZE, PICTURE),
    change_the_output: (FaultKind.OUTPUT_CONTENT, PICTURE),
    stop_the_dispatchers: (FaultKind.LEASE_LAPSED, "leases/stuck.json"),
    claim_nothing: (FaultKind.LEASE_OF_NOTHING, "leases/ghost.json"),
    leave_the_lease: (FaultKind.LEASE_LEFT, "leases/good.json"),
    overwrite_the_lease: (FaultKind.LEASE_UNREADABLE, "leases/good.json"),
    copy_another_lease: (FaultKind.LEASE_UNREADABLE, "leases/good.json"),
    put_a_note_among_leases: (FaultKind.LEASE_UNREADABLE, "leases/README.txt"),
    leave_the_entry: (FaultKind.ENTRY_LEFT, "inbox/good.json"),
    put_a_note_in_the_inbox: (FaultKind.ENTRY_STUCK, "inbox/NOTE.txt"),
    tell_another_event_under_its_uuid: (FaultKind.EVENT_DIFFERS, result_key("good")),
    tell_it_twice: (FaultKind.EVENT_TWICE, result_key("good")),
    tell_it_twice_in_the_lease: (FaultKind.EVENT_TWICE, result_key("good")),
    take_the_uuid_of_another_job: (FaultKind.EVENT_DIFFERS, result_key("twice")),
    lose_a_rejected_entry: (FaultKind.EVENT_OF_NOTHING, "outbox/NOTE-txt.0123456789ab.json"),
}


@pytest.mark.parametrize("plant", PLANTED, ids=lambda plant: plant.__name__)
def test_what_is_planted_is_found_and_named(
    ran: PipelineFixture, plant: Callable[[PipelineFixture], None]
) -> None:
    plant(ran)
    audit = audited(ran, content=True)

    assert found(audit) == [PLANTED[plant]]
    assert audit.tally.faults == {PLANTED[plant][0]: 1}


def test_every_kind_of_fault_is_planted() -> None:
    assert {kind for kind, _ in PLANTED.values()} == set(FaultKind)


def test_the_content_of_outputs_is_read_only_if_asked(ran: PipelineFixture) -> None:
    change_the_output(ran)
    ran.raw.gets.clear()

    assert found(audited(ran)) == []
    assert PICTURE not in ran.raw.gets


@pytest.mark.parametrize("part_bytes", [1, 100, 10_000])
def test_content_is_read_in_parts(
    ran: PipelineFixture, part_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.jobs.audit.bucket_audit.PART_BYTES", part_bytes)
    size = ran.result("good").outputs[0].bytes

    assert found(audited(ran, content=True, part=Part(ids=frozenset({"good"})))) == []
    assert ran.raw.gets.count(PICTURE) == -(-size // part_bytes)


@pytest.mark.parametrize("plant", [leave_the_lease, leave_the_entry, lose_the_result])
def test_what_is_left_over_is_found_however_old_its_job_is(
    ran: PipelineFixture, plant: Callable[[PipelineFixture], None]
) -> None:
    plant(ran)
    ran.pass_time(3600)

    assert PLANTED[plant] in found(audited(ran, part=Part(since=ran.now)))
