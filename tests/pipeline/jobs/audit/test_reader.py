"""A bucket after a real run is clean, each kind of fault that is planted in it is named, and no
moment of a history in which everything goes wrong once is taken for a fault."""

import json
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from config.errors import ComfyDied
from events.sink import MemorySink, NotDelivered
from events.stored_event import StoredEvent
from pipeline.contract.keys import lease_key, manifest_key, result_key
from pipeline.contract.lease import Phase
from pipeline.contract.result import Status
from pipeline.jobs.audit.reader import AHEAD, Audit, Part, folders
from pipeline.jobs.audit.rules import FaultKind, Tally
from pipeline.queue.expiry import Lifetimes
from pipeline.store.base import Always, Entry
from pipeline.store.conditional import SafeStore
from pipeline.worker.execution import execute
from tests.pipeline.conftest import MakePipeline
from tests.pipeline.queue.test_crash_matrix import CASES, KEY
from tests.support.faulty_store import Fault as CallFault
from tests.support.instant_comfyui import InstantServer, failing
from tests.support.jobs import a_lease
from tests.support.manifests import body
from tests.support.pipeline_fixture import NOON, PipelineFixture
from tests.support.simulation import SETTINGS, Simulation

ENDED = ("good", "refused", "twice", "retried")


@pytest.fixture
def ran(make_pipeline: MakePipeline) -> PipelineFixture:
    """Four jobs that have ended: one succeeded, one refused, one submitted twice, one retried."""
    pipeline = make_pipeline(server=InstantServer(failing(ComfyDied("gone"))))
    pipeline.submit("retried")
    pipeline.tick()
    for id in ("good", "refused", "twice"):
        pipeline.submit(id, b"{}" if id == "refused" else None)
    for _ in range(3):
        pipeline.tick()
        pipeline.pass_time(3600)
    pipeline.submit("twice")
    pipeline.tick()
    assert pipeline.keys("leases/") == pipeline.keys("inbox/") == []
    return pipeline


def audited(pipeline: PipelineFixture, **options: Any) -> Audit:
    audit = Audit(pipeline.safe(), Lifetimes.of(pipeline.settings), readers=2, **options)
    audit.run()
    return audit


def found(audit: Audit) -> list[tuple[FaultKind, str]]:
    return [(fault.kind, fault.key) for fault in audit.tally.named]


def put(pipeline: PipelineFixture, key: str, content: bytes) -> None:
    pipeline.raw._store.put(key, content, Always())


def put_lease(pipeline: PipelineFixture, id: str, **fields: Any) -> None:
    lease = a_lease(id=id, entry=f"inbox/{id}.json", **fields)
    put(pipeline, lease_key(id), lease.body())


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


# ── planted ───────────────────────────────────────────────────────────────────────────────────────


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


def changed_result(pipeline: PipelineFixture, id: str, **changes: Any) -> None:
    document = json.loads(pipeline.result(id).body()) | changes
    put(pipeline, result_key(id), json.dumps(document).encode())


def changed_event(pipeline: PipelineFixture, number: int, **changes: Any) -> None:
    events = json.loads(pipeline.result("good").body())["events"]
    changed_result(pipeline, "good", events=[*events, {**events[number], **changes}])


def lose_the_result(pipeline: PipelineFixture) -> None:
    pipeline.raw._store.delete(result_key("good"))


def lose_the_manifest(pipeline: PipelineFixture) -> None:
    pipeline.raw._store.delete(manifest_key("good"))


def change_the_manifest(pipeline: PipelineFixture) -> None:
    put(pipeline, manifest_key("good"), body("another"))


def break_the_result(pipeline: PipelineFixture) -> None:
    put(pipeline, result_key("good"), b"{")


def copy_another_result(pipeline: PipelineFixture) -> None:
    put(pipeline, result_key("good"), pipeline.result("twice").body())


def lose_the_output(pipeline: PipelineFixture) -> None:
    pipeline.raw._store.delete("jobs/good/out/a1/image-0.png")


def cut_the_output(pipeline: PipelineFixture) -> None:
    put(pipeline, "jobs/good/out/a1/image-0.png", b"short")


def change_the_output(pipeline: PipelineFixture) -> None:
    put(pipeline, "jobs/good/out/a1/image-0.png", bytes(pipeline.result("good").outputs[0].bytes))


def stop_the_dispatchers(pipeline: PipelineFixture) -> None:
    put(pipeline, manifest_key("stuck"), body())
    put_lease(pipeline, "stuck", phase=Phase.SPAWNED, ttl_s=900)
    pipeline.pass_time(900 + 61)


def claim_nothing(pipeline: PipelineFixture) -> None:
    put_lease(pipeline, "ghost", phase=Phase.CLAIMED, ttl_s=900)
    pipeline.pass_time(900 + 61)


def leave_the_lease(pipeline: PipelineFixture) -> None:
    put_lease(pipeline, "good", phase=Phase.RETRY, committed=True, events_out=True)


def overwrite_the_lease(pipeline: PipelineFixture) -> None:
    put(pipeline, lease_key("good"), b"hello")


def copy_another_lease(pipeline: PipelineFixture) -> None:
    put(pipeline, lease_key("good"), a_lease(id="twice", entry="inbox/twice.json").body())


def put_a_note_among_leases(pipeline: PipelineFixture) -> None:
    put(pipeline, "leases/README.txt", b"hello")


def leave_the_entry(pipeline: PipelineFixture) -> None:
    pipeline.submit("good")
    pipeline.pass_time(900 + 61)
    pipeline.submit("later")


def put_a_note_in_the_inbox(pipeline: PipelineFixture) -> None:
    pipeline.submit("", b"hello", key="inbox/NOTE.txt")
    pipeline.pass_time(900 + 61)


def tell_another_event_under_its_uuid(pipeline: PipelineFixture) -> None:
    changed_event(pipeline, 0, timestamp="2026-01-01T00:00:00.000+00:00")


def tell_it_twice(pipeline: PipelineFixture) -> None:
    changed_event(pipeline, 1, uuid="11111111-1111-5111-8111-111111111111")


def tell_it_twice_in_the_lease(pipeline: PipelineFixture) -> None:
    first = pipeline.result("good").events[0].model_copy(update={"uuid": "another"})
    put_lease(pipeline, "good", phase=Phase.RETRY, committed=True, events=(first,))


def take_the_uuid_of_another_job(pipeline: PipelineFixture) -> None:
    other = json.loads(pipeline.result("twice").body())["events"]
    own = json.loads(pipeline.result("good").body())["events"]
    changed_result(pipeline, "good", events=[own[0], {**own[1], "uuid": other[1]["uuid"]}])


def lose_a_rejected_entry(pipeline: PipelineFixture) -> None:
    put(pipeline, "outbox/NOTE-txt.0123456789ab.json", b"{}")
    put(pipeline, "rejected/NOTE-txt.0123456789ab.json.old", b"{}")


PICTURE = "jobs/good/out/a1/image-0.png"
PLANTED: dict[Callable[[PipelineFixture], None], tuple[FaultKind, str]] = {
    lose_the_result: (FaultKind.LOST, manifest_key("good")),
    lose_the_manifest: (FaultKind.MANIFEST_MISSING, manifest_key("good")),
    change_the_manifest: (FaultKind.MANIFEST_DIFFERS, manifest_key("good")),
    break_the_result: (FaultKind.RESULT_UNREADABLE, result_key("good")),
    copy_another_result: (FaultKind.RESULT_UNREADABLE, result_key("good")),
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
    monkeypatch.setattr("pipeline.jobs.audit.reader.PART_BYTES", part_bytes)
    size = ran.result("good").outputs[0].bytes

    assert found(audited(ran, content=True, part=Part(ids=frozenset({"good"})))) == []
    assert ran.raw.gets.count(PICTURE) == -(-size // part_bytes)


# ── what is no fault yet ──────────────────────────────────────────────────────────────────────────


def test_an_entry_of_an_ended_job_may_wait_behind_older_ones(ran: PipelineFixture) -> None:
    ran.submit("older")
    ran.pass_time(1)
    ran.submit("good")
    ran.pass_time(900 + 61)
    audit = audited(ran)

    assert found(audit) == []
    assert audit.waiting == 1, "a duplicate is no job that waits"


@pytest.mark.parametrize(
    ("plant", "longest_s"),
    [
        (lambda it: it.submit("good"), 900 + 60),
        (lambda it: it.submit("", b"hello", key="inbox/NOTE.txt"), 900 + 60),
        (lambda it: put(it, manifest_key("new"), body()), 59),
        (lambda it: put_lease(it, "ghost", phase=Phase.CLAIMED, ttl_s=60), 60 + 60),
        (lambda it: put_lease(it, "good", phase=Phase.RUNNING, ttl_s=30), 30 + 60),
    ],
)
def test_nothing_is_a_fault_before_a_dispatcher_could_have_seen_to_it(
    ran: PipelineFixture, plant: Callable[[PipelineFixture], None], longest_s: float
) -> None:
    plant(ran)
    ran.pass_time(longest_s)
    assert found(audited(ran)) == []
    ran.pass_time(1)
    assert len(found(audited(ran))) == 1


def test_what_names_no_job_holds_up_no_job_and_its_age_counts_for_nothing(
    ran: PipelineFixture,
) -> None:
    ran.submit("", b"hello", key="inbox/NOTE.txt")
    ran.pass_time(1)
    ran.submit("good")
    ran.pass_time(900 + 61)

    assert sorted(found(audited(ran))) == [
        (FaultKind.ENTRY_LEFT, "inbox/good.json"),
        (FaultKind.ENTRY_STUCK, "inbox/NOTE.txt"),
    ]


def test_of_two_entries_of_one_second_neither_is_the_older(ran: PipelineFixture) -> None:
    ran.submit("other")
    ran.submit("good")
    ran.pass_time(900 + 61)

    assert found(audited(ran)) == []


def test_a_job_that_waits_may_have_its_manifest_already(ran: PipelineFixture) -> None:
    """As a POST with a key writes it."""
    put(ran, manifest_key("posted"), body())
    ran.submit("posted")
    ran.pass_time(3600)
    audit = audited(ran)

    assert found(audit) == []
    assert (audit.jobs, audit.waiting) == (5, 1)


# ── while it looks ────────────────────────────────────────────────────────────────────────────────


def meanwhile(pipeline: PipelineFixture, before: tuple[str, str], what: Callable[[], None]) -> None:
    """Have something happen before the first call of this kind on a key that begins so."""
    done = False

    def happen(call: str, key: str) -> None:
        nonlocal done
        if call == before[0] and key.startswith(before[1]) and not done:
            done = True
            what()

    pipeline.raw.fail = happen


@pytest.mark.parametrize("before", [("LIST", "leases/"), ("LIST", "jobs/"), ("GET", "")])
def test_a_job_that_moves_is_not_called_lost(
    make_pipeline: MakePipeline, before: tuple[str, str]
) -> None:
    pipeline = make_pipeline(holding=True)
    pipeline.submit("moves")
    pipeline.tick()
    pipeline.submit("comes")
    pipeline.pass_time(120)

    def move() -> None:
        """One job is claimed, and one ends."""
        pipeline.tick()
        execute(pipeline.held.payloads[0], pipeline.context, call_id=None)
        pipeline.deliver()
        pipeline.pass_time(120)

    meanwhile(pipeline, before, move)

    assert found(audited(pipeline)) == []
    assert pipeline.result("moves").status is Status.SUCCEEDED
    assert pipeline.keys("leases/") == ["leases/comes.json"]


def test_an_entry_that_comes_after_the_first_look_is_found_by_the_second(
    ran: PipelineFixture,
) -> None:
    put(ran, manifest_key("posted"), body())
    ran.pass_time(3600)
    meanwhile(ran, ("LIST", "jobs/"), lambda: ran.submit("posted"))

    assert found(audited(ran)) == []


def test_a_lease_that_comes_after_the_first_look_is_found_by_the_second(
    ran: PipelineFixture,
) -> None:
    put(ran, manifest_key("late"), body())
    ran.pass_time(3600)
    meanwhile(ran, ("LIST", "jobs/"), lambda: put_lease(ran, "late", ttl_s=900))
    audit = audited(ran)

    assert found(audit) == []
    assert audit.tally.held == {"claimed": 1}


def test_a_lease_whose_job_was_not_there_when_jobs_were_listed(ran: PipelineFixture) -> None:
    def lapsed() -> list[tuple[FaultKind, str]]:
        put_lease(ran, "new", phase=Phase.CLAIMED, ttl_s=60)
        ran.pass_time(60 + 61)
        return found(audited(ran))

    assert lapsed() == [(FaultKind.LEASE_OF_NOTHING, "leases/new.json")]

    ran.submit("new")
    assert lapsed() == [(FaultKind.LEASE_LAPSED, "leases/new.json")], "its entry is there"
    ran.raw._store.delete("inbox/new.json")

    adopted = ("GET", "leases/")
    meanwhile(ran, adopted, lambda: put(ran, manifest_key("new"), body()))
    assert lapsed() == [(FaultKind.LEASE_LAPSED, "leases/new.json")]
    ran.raw._store.delete(manifest_key("new"))

    meanwhile(ran, adopted, lambda: ran.raw._store.delete(lease_key("new")))
    assert lapsed() == []


def test_a_job_that_is_adopted_and_ends_after_jobs_were_listed(ran: PipelineFixture) -> None:
    bodies = {key: ran.raw._store.get(key) for key in ran.keys("jobs/refused/")}
    for key in bodies:
        ran.raw._store.delete(key)
    put_lease(ran, "refused", phase=Phase.CLAIMED, ttl_s=900)

    def end() -> None:
        for key, stored in bodies.items():
            assert stored is not None
            put(ran, key, stored.body)

    meanwhile(ran, ("GET", "leases/"), end)
    audit = audited(ran)

    assert found(audit) == []
    assert (audit.jobs, audit.tally.results["rejected"]) == (3, 1)


def test_an_output_that_is_stored_between_two_pages_is_not_missing(ran: PipelineFixture) -> None:
    stored = ran.raw._store.get(PICTURE)
    assert stored is not None
    lose_the_output(ran)
    meanwhile(ran, ("GET", result_key("good")), lambda: put(ran, PICTURE, stored.body))

    assert found(audited(ran, content=True)) == []


def test_another_object_whose_name_begins_alike_is_not_the_output(ran: PipelineFixture) -> None:
    lose_the_output(ran)
    put(ran, f"{PICTURE}.bak", b"x" * ran.result("good").outputs[0].bytes)

    assert found(audited(ran)) == [(FaultKind.OUTPUT_MISSING, PICTURE)]


def test_what_vanishes_is_a_fault(ran: PipelineFixture) -> None:
    meanwhile(ran, ("GET", PICTURE), lambda: lose_the_output(ran))
    assert found(audited(ran, content=True)) == [(FaultKind.OUTPUT_CONTENT, PICTURE)]
    meanwhile(ran, ("GET", result_key("twice")), lambda: ran.raw._store.delete(result_key("twice")))
    assert (FaultKind.RESULT_UNREADABLE, result_key("twice")) in found(audited(ran))


def test_a_clean_bucket_costs_four_lists_and_two_gets_a_result_or_one_a_lease(
    ran: PipelineFixture,
) -> None:
    put_lease(ran, "runs", phase=Phase.RUNNING, ttl_s=60)
    put(ran, manifest_key("runs"), body())
    ran.raw.calls.clear()
    ran.raw.gets.clear()
    audited(ran)

    assert ran.raw.calls == {"LIST": 4, "GET": 2 * len(ENDED) + 1}
    assert len(set(ran.raw.gets)) == len(ran.raw.gets)


# ── any history ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("case", CASES)
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_no_moment_of_a_history_in_which_a_call_goes_wrong_is_a_fault(
    case: str, data: st.DataObject
) -> None:
    """Audited while it runs, whenever time passes, and clean when it has come to rest."""
    chosen = CASES[case]
    simulation = WatchedSimulation(
        fault=data.draw(st.sampled_from(CallFault)),
        at=data.draw(st.integers(0, 40)),
        before=chosen.before(),
        sink_failures=chosen.sink_failures,
    )
    try:
        simulation.submit(KEY, chosen.manifest)
        simulation.run_until_quiet(dispatchers=chosen.dispatchers, executions=chosen.executions)
    finally:
        simulation.close()
    audit = simulation.audited()

    assert (audit.jobs, audit.waiting) == (1, 0)
    assert audit.tally.results == {chosen.status: 1}
    assert not audit.tally.held


class WatchedSimulation(Simulation):
    def pass_time(self, seconds: float) -> None:
        self.audited()
        super().pass_time(seconds)

    def audited(self) -> Audit:
        store = SafeStore(self.bucket, monotonic=self._seconds)
        audit = Audit(store, Lifetimes.of(SETTINGS), readers=1, content=True)
        audit.run()
        assert found(audit) == []
        return audit


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


@pytest.mark.parametrize("plant", [leave_the_lease, leave_the_entry, lose_the_result])
def test_what_is_left_over_is_found_however_old_its_job_is(
    ran: PipelineFixture, plant: Callable[[PipelineFixture], None]
) -> None:
    plant(ran)
    ran.pass_time(3600)

    assert PLANTED[plant] in found(audited(ran, part=Part(since=ran.now)))


# ── the stream ────────────────────────────────────────────────────────────────────────────────────

BYTE_ORDER = ["jobs/a-b/result.json", "jobs/a.txt", "jobs/a/out/1", "jobs/a/result.json"]
BY_DIRECTORY = ["jobs/a/out/1", "jobs/a/result.json", "jobs/a-b/result.json", "jobs/a.txt"]


@pytest.mark.parametrize("keys", [BYTE_ORDER, BY_DIRECTORY])
def test_jobs_are_told_apart_in_the_order_of_either_store(keys: list[str]) -> None:
    at = {key: NOON + timedelta(seconds=n) for n, key in enumerate(keys)}
    at["jobs/a/out/1"] = NOON + timedelta(hours=1)
    entries = [Entry(key, "e", 1, at[key]) for key in keys]
    by_id = {folder.id: folder for folder in folders(entries)}

    assert {id: sorted(folder.sizes) for id, folder in by_id.items()} == {
        "a": ["jobs/a/out/1", "jobs/a/result.json"],
        "a-b": ["jobs/a-b/result.json"],
        "": ["jobs/a.txt"],
    }
    assert {id: folder.newest for id, folder in by_id.items()} == {
        "a": at["jobs/a/out/1"],
        "a-b": at["jobs/a-b/result.json"],
        "": at["jobs/a.txt"],
    }


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
