"""A bucket after a real run is clean, and what is looked at is what was asked for."""

from collections.abc import Sequence

from events.sink import MemorySink, NotDelivered
from events.stored_event import StoredEvent
from pipeline.contract.keys import lease_key, manifest_key, result_key
from pipeline.contract.lease import Phase
from pipeline.jobs.audit.bucket_audit import AHEAD, Audit
from pipeline.jobs.audit.faults import FaultKind
from pipeline.jobs.audit.part import Part
from pipeline.jobs.audit.tally import Tally
from pipeline.queue.expiry import Lifetimes
from tests.pipeline.conftest import MakePipeline
from tests.support.audits import (
    ENDED,
    PICTURE,
    audited,
    found,
    lose_the_manifest,
    lose_the_output,
    put,
    put_a_note_in_the_inbox,
    put_lease,
)
from tests.support.manifests import body
from tests.support.pipeline_fixture import NOON, PipelineFixture


def test_a_bucket_after_a_real_run_is_clean(ran: PipelineFixture) -> None:
    audit = audited(ran, content=True)

    assert found(audit) == []
    assert (audit.jobs, audit.waiting) == (4, 0)
    assert audit.tally.results == {"succeeded": 3, "rejected": 1}
    assert audit.tally.outputs == 3
    assert audit.tally.output_bytes == sum(
        output.bytes for id in ENDED for output in ran.result(id).outputs
    )
    assert audit.tally.events == sum(len(ran.result(id).events) for id in ENDED)
    assert audit.objects == len(ran.keys("jobs/"))
    assert not audit.tally.held


def test_it_writes_nothing(ran: PipelineFixture) -> None:
    ran.raw.calls.clear()
    audited(ran, content=True)

    assert set(ran.raw.calls) == {"LIST", "GET"}


def test_what_a_lost_attempt_left_is_waste_and_no_fault(ran: PipelineFixture) -> None:
    before = audited(ran)
    assert ran.result("retried").attempt == 2
    put(ran, "jobs/retried/out/a1/image-0.png", b"12345")
    put(ran, "jobs/of-nobody/out/a1/image-0.png", b"123")
    put(ran, "jobs/note.txt", b"12")
    audit = audited(ran)

    assert found(audit) == []
    assert audit.jobs == before.jobs == 4
    assert audit.tally.waste - before.tally.waste == 3
    assert audit.tally.waste_bytes - before.tally.waste_bytes == 10
    assert before.tally.waste == 1, "the metrics of the attempt that failed"


def test_jobs_in_progress_are_no_faults(make_pipeline: MakePipeline) -> None:
    pipeline = make_pipeline(holding=True)
    pipeline.submit("claimed")
    pipeline.tick()
    pipeline.submit("waits")
    put_lease(pipeline, "runs", phase=Phase.RUNNING, ttl_s=60)
    put(pipeline, manifest_key("runs"), body())
    put_lease(pipeline, "again", phase=Phase.RETRY, not_before=NOON)
    put(pipeline, manifest_key("again"), body())
    put_lease(pipeline, "vacant", phase=Phase.RETRY, vacant=True, ttl_s=86_400)
    pipeline.pass_time(100)
    audit = audited(pipeline)

    assert found(audit) == []
    assert audit.tally.held == {"claimed": 1, "running": 1, "retry": 1, "vacant": 1}
    assert (audit.jobs, audit.waiting, audit.tally.results) == (3, 1, {})

    pipeline.pass_time(3600)
    assert (FaultKind.LEASE_LAPSED, "leases/again.json") not in found(audited(pipeline)), (
        "it may wait for a place"
    )


def test_an_ended_job_that_owes_its_events_is_no_fault(ran: PipelineFixture) -> None:
    result = ran.result("good")
    owing = {"phase": Phase.RETRY, "committed": True, "not_before": NOON}
    put_lease(ran, "good", **owing)
    audit = audited(ran)

    assert found(audit) == []
    assert audit.tally.held == {"owing": 1}
    assert result.callback_url is None

    put_lease(ran, "good", **owing, events_out=True)
    assert found(audited(ran)) == [(FaultKind.LEASE_LEFT, "leases/good.json")]


class Unreachable(MemorySink):
    def deliver(self, events: Sequence[StoredEvent]) -> Sequence[StoredEvent]:
        raise NotDelivered("down")


def test_events_of_rejected_entries_that_wait_are_owed_and_no_fault(
    make_pipeline: MakePipeline,
) -> None:
    pipeline = make_pipeline(sink=Unreachable())
    for name in ("NOTE.txt", "OTHER.txt"):
        pipeline.submit(name, key=f"inbox/{name}")
    pipeline.tick()
    assert len(pipeline.keys("outbox/")) == len(pipeline.keys("rejected/")) == 2
    audit = audited(pipeline)

    assert found(audit) == []
    assert audit.owed == 2
    assert audit.objects == 2
    assert audited(pipeline, part=Part(prefix="NOTE")).owed == 0, "they are of no job"


# ── a part of the bucket ──────────────────────────────────────────────────────────────────────────


def test_a_part_of_the_bucket_is_looked_at(ran: PipelineFixture) -> None:
    lose_the_output(ran)
    put(ran, lease_key("twice"), b"hello")
    some, by_prefix = Part(ids=frozenset({"good", "refused"})), Part(prefix="tw")

    assert len(found(audited(ran))) == 2
    assert found(audited(ran, part=some)) == [(FaultKind.OUTPUT_MISSING, PICTURE)]
    assert found(audited(ran, part=by_prefix)) == [
        (FaultKind.LEASE_UNREADABLE, "leases/twice.json")
    ]
    assert audited(ran, part=Part(prefix="re")).jobs == 2
    assert audited(ran, part=Part(ids=frozenset({"re"}))).jobs == 0


def test_of_the_inbox_a_part_is_looked_at_too(ran: PipelineFixture) -> None:
    for id in ("new", "newer", "other"):
        ran.submit(id)

    assert audited(ran).waiting == 3
    assert audited(ran, part=Part(prefix="new")).waiting == 2
    assert audited(ran, part=Part(ids=frozenset({"new", "good"}))).waiting == 1


def test_what_names_no_job_belongs_to_no_part(ran: PipelineFixture) -> None:
    put_a_note_in_the_inbox(ran)
    put(ran, "leases/go.txt", b"hello")

    assert len(found(audited(ran))) == 2
    assert found(audited(ran, part=Part(prefix="go"))) == []
    assert found(audited(ran, part=Part(ids=frozenset({"good"})))) == []


def test_results_from_before_a_time_are_not_read(ran: PipelineFixture) -> None:
    lose_the_manifest(ran)
    ran.submit("late")
    ran.tick()
    ran.raw.gets.clear()
    audit = audited(ran, part=Part(since=ran.now))

    assert found(audit) == []
    assert (audit.jobs, audit.passed_over, audit.tally.results) == (5, 4, {"succeeded": 1})
    assert sorted(ran.raw.gets) == ["jobs/late/manifest.json", "jobs/late/result.json"]


# ── the stream ────────────────────────────────────────────────────────────────────────────────────


def test_no_more_is_asked_for_ahead_than_readers_can_hold(ran: PipelineFixture) -> None:
    """What is in memory at a time does not grow with the bucket."""
    ahead: list[int] = []
    for n in range(60):
        put(ran, result_key(f"copy-{n:02}"), b"{")
    audit = Audit(ran.safe(), Lifetimes.of(ran.settings), readers=2)
    audit.run(lambda audit: ahead.append(audit.jobs - audit.tally.results.total()))

    assert len(ahead) == 64
    assert max(ahead) == 2 * AHEAD - 1


def test_faults_are_counted_beyond_those_that_are_named(ran: PipelineFixture) -> None:
    for n in range(12):
        put(ran, f"leases/note-{n}.txt", b"")
    audit = audited(ran, tally=Tally(named_most=5))

    assert audit.tally.faults == {FaultKind.LEASE_UNREADABLE: 12}
    assert len(audit.tally.named) == 5
