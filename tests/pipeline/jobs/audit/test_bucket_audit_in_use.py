"""No moment of a bucket in use is taken for a fault."""

from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.contract.keys import lease_key, manifest_key, result_key
from pipeline.contract.lease import Phase
from pipeline.contract.result import Status
from pipeline.jobs.audit.bucket_audit import Audit
from pipeline.jobs.audit.faults import FaultKind
from pipeline.queue.expiry import Lifetimes
from pipeline.store.conditional import SafeStore
from pipeline.worker.execution import execute
from tests.pipeline.conftest import MakePipeline
from tests.pipeline.queue.test_crash_matrix import CASES, KEY
from tests.support.audits import ENDED, PICTURE, audited, found, lose_the_output, put, put_lease
from tests.support.faulty_store import Fault as CallFault
from tests.support.manifests import body
from tests.support.pipeline_fixture import PipelineFixture
from tests.support.simulation import SETTINGS, Simulation


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
