from collections.abc import Iterator
from datetime import timedelta

import pytest

from pipeline.contract.keys import result_key
from pipeline.contract.lease import Phase
from pipeline.contract.result import Status
from pipeline.contract.spend_entry import since_key
from pipeline.jobs.status import (
    Group,
    LeaseWatch,
    State,
    find_entry,
    finished_ids,
    look_up,
    overview,
)
from pipeline.notify.spend_note import note_new_bucket, note_spend
from pipeline.store.base import Always
from pipeline.store.conditional import SafeStore
from pipeline.store.memory import MemoryStore
from tests.support.manifests import body
from tests.support.pipeline_fixture import NOON, CountingStore, PipelineFixture
from tests.support.report_results import result


@pytest.fixture
def pipeline() -> Iterator[PipelineFixture]:
    pipeline = PipelineFixture(holding=True, backoff_base_seconds=5)
    yield pipeline
    pipeline.close()


def keyed(id: str, *, priority: int = 5, tenant: str = "acme") -> str:
    return f"inbox/{9 - priority}.{tenant}.flux-dev.{id}.json"


def test_a_job_is_found_wherever_it_is(pipeline: PipelineFixture) -> None:
    pipeline.submit("taken")
    pipeline.tick()
    pipeline.submit("refused", b"{}")
    pipeline.submit("keyed", key=keyed("keyed"))
    pipeline.submit("bare")
    pipeline.pass_time(3)
    views = look_up(pipeline.store, ["taken", "keyed", "bare", "nobody"])

    assert {id: view.state for id, view in views.items()} == {
        "taken": State.CLAIMED,
        "keyed": State.WAITING,
        "bare": State.WAITING,
        "nobody": State.UNKNOWN,
    }
    assert views["keyed"].since == NOON

    pipeline.tick()
    refused = look_up(pipeline.store, ["refused"])["refused"]

    assert refused.finished
    assert not refused.succeeded
    assert refused.result is not None
    assert refused.result.status is Status.REJECTED


def test_finished_jobs_are_looked_up_without_listing_the_inbox(pipeline: PipelineFixture) -> None:
    pipeline.submit("refused", b"{}")
    pipeline.tick()
    pipeline.raw.calls.clear()

    look_up(pipeline.store, ["refused"])

    assert pipeline.raw.calls == {"GET": 1}


def test_a_result_that_cannot_be_read_is_a_finished_job_all_the_same(
    pipeline: PipelineFixture,
) -> None:
    pipeline.store.create("jobs/odd/result.json", b"?")

    view = look_up(pipeline.store, ["odd"])["odd"]

    assert view.finished
    assert view.result is None


def test_a_job_that_moves_on_between_two_readings_is_not_missed(pipeline: PipelineFixture) -> None:
    pipeline.submit("quick", b"{}")

    def finish_before_the_inbox_is_listed(call: str, key: str) -> None:
        if (call, key) == ("LIST", "inbox/"):
            pipeline.raw.fail = lambda call, key: None
            pipeline.tick()

    pipeline.raw.fail = finish_before_the_inbox_is_listed

    assert look_up(pipeline.store, ["quick"])["quick"].finished


def test_the_overview_counts_what_waits_by_priority_tenant_and_kind(
    pipeline: PipelineFixture,
) -> None:
    pipeline.submit("a1", key=keyed("a1"))
    pipeline.pass_time(60)
    pipeline.submit("a2", key=keyed("a2"))
    pipeline.submit("b", key=keyed("b", priority=9, tenant="beta"))
    pipeline.submit("c")
    pipeline.submit("d", key="inbox/What Is This.json")
    seen = overview(pipeline.store)

    assert [(group, there.count) for group, there in seen.waiting.items()] == [
        (Group(9, "beta", "flux-dev"), 1),
        (Group(5, None, None), 1),
        (Group(5, "acme", "flux-dev"), 2),
    ]
    assert (seen.now - seen.waiting[Group(5, "acme", "flux-dev")].oldest).total_seconds() == 60
    assert seen.invalid_entries == 1
    assert not seen.held


def test_the_overview_shows_leases_and_does_not_count_their_entries_twice(
    pipeline: PipelineFixture,
) -> None:
    pipeline.submit("taken")
    pipeline.tick()
    pipeline.submit("taken")
    pipeline.submit("stranger", key="inbox/What Is This.json")
    pipeline.tick()
    seen = overview(pipeline.store)

    assert {id: view.state for id, view in seen.held.items()} == {"taken": State.CLAIMED}
    assert not seen.waiting
    assert (seen.rejected, seen.rejected_more) == (1, False)


def test_a_lease_that_only_owes_events_is_told_from_a_retry(pipeline: PipelineFixture) -> None:
    for id, committed in (("owing", True), ("again", False)):
        pipeline.submit(id)
        pipeline.tick()
        lease = pipeline.lease(id).waiting(not_before=NOON, committed=committed)
        pipeline.raw.put(f"leases/{id}.json", lease.body(), Always())

    assert {id: view.state for id, view in LeaseWatch(pipeline.store).look().items()} == {
        "owing": State.DELIVERING,
        "again": State.RETRY,
    }
    sent_again = pipeline.lease("owing").model_copy(update={"phase": Phase.SPAWNED})
    pipeline.raw.put("leases/owing.json", sent_again.body(), Always())
    assert LeaseWatch(pipeline.store).look()["owing"].state is State.DELIVERING


def test_watching_leases_reads_each_once_until_it_changes(pipeline: PipelineFixture) -> None:
    for id in ("one", "two"):
        pipeline.submit(id)
    pipeline.tick()
    watch = LeaseWatch(pipeline.store)
    watch.look()
    pipeline.raw.calls.clear()
    watch.look()

    assert pipeline.raw.calls == {"LIST": 1}

    changed = pipeline.lease("two").with_(owner="another")
    pipeline.raw.put("leases/two.json", changed.body(), Always())
    pipeline.raw.calls.clear()
    views = watch.look()

    assert pipeline.raw.calls == {"LIST": 1, "GET": 1}
    assert views["two"].lease == changed


def test_a_watched_lease_that_goes_is_gone(pipeline: PipelineFixture) -> None:
    pipeline.submit("one")
    pipeline.tick()
    watch = LeaseWatch(pipeline.store)
    assert set(watch.look()) == {"one"}

    pipeline.raw.delete("leases/one.json")

    assert not watch.look()


def test_bytes_that_are_no_lease_are_shown_as_held_by_somebody(pipeline: PipelineFixture) -> None:
    pipeline.raw.put("leases/odd.json", b"?", Always())
    pipeline.raw.put("leases/Not An Id.json", b"?", Always())
    watch = LeaseWatch(pipeline.store)

    for _ in range(2):
        assert [(view.id, view.lease) for view in watch.look().values()] == [("odd", None)]
    assert watch.reads == 1


def test_a_bare_entry_is_found_without_listing_the_whole_inbox(pipeline: PipelineFixture) -> None:
    for n in range(1500):
        pipeline.submit(f"job-{n:04}", body())
    pipeline.submit("job-0")
    pipeline.raw.calls.clear()
    entry = find_entry(pipeline.store, "job-0")

    assert entry is not None
    assert entry.key == "inbox/job-0.json"
    assert pipeline.raw.calls == {"LIST": 1}


def test_an_entry_beyond_the_first_page_is_found(pipeline: PipelineFixture) -> None:
    for n in range(1001):
        pipeline.submit(f"job-{n:04}", key=keyed(f"job-{n:04}"))
    entry = find_entry(pipeline.store, "job-1000")

    assert entry is not None
    assert entry.key == keyed("job-1000")


def test_finished_jobs_are_listed_with_the_newest_first(pipeline: PipelineFixture) -> None:
    for id in ("older", "newer"):
        pipeline.submit(id, b"{}")
        pipeline.tick()
        pipeline.pass_time(5)
    pipeline.submit("running")
    pipeline.tick()

    assert finished_ids(pipeline.store, 9) == ["newer", "older"]
    assert finished_ids(pipeline.store, 1) == ["newer"]


def test_what_waits_and_runs_is_told_without_a_look_at_what_has_ended() -> None:
    """`ryla status`, /metrics and GET /jobs go by it."""
    counting = CountingStore(MemoryStore(lambda: NOON))
    store = SafeStore(counting)
    for n in range(1500):
        store.create(result_key(f"old-{n}"), b"{}")
    counting.calls.clear()
    listed = list[str]()
    counting.fail = lambda call, key: listed.append(key)
    overview(store)

    assert listed == ["leases/", "inbox/", "rejected/"]
    assert counting.calls == {"LIST": 3}


def test_the_newest_are_found_by_the_days_on_which_jobs_ended_however_many_are_older() -> None:
    now = NOON
    counting = CountingStore(MemoryStore(lambda: now))
    store = SafeStore(counting)
    note_new_bucket(store)
    for days in (900, 3, 1, 0):
        for n in range(3):
            now = NOON - timedelta(days=days, seconds=9 - n)
            note_spend(store, result(f"d{days}-{n}", finished_at=now))
    now = NOON

    assert finished_ids(store, 4) == ["d0-2", "d0-1", "d0-0", "d1-2"]
    assert counting.calls["GET"] == 0
    assert finished_ids(store, 99)[-1] == "d900-0"
    assert len(finished_ids(store, 99)) == 12


def test_jobs_of_days_that_spend_does_not_hold_are_found_in_jobs() -> None:
    store = SafeStore(MemoryStore(lambda: NOON))
    for id in ("a", "b"):
        store.create(result_key(id), b"{}")
    note_spend(store, result("b", finished_at=NOON))
    store.create(since_key(NOON.date()), b"{}")

    assert finished_ids(store, 1) == ["b"]
    assert sorted(finished_ids(store, 9)) == ["a", "b"]
