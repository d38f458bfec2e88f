from collections.abc import Iterator

import pytest

from pipeline.contract.result import Status
from pipeline.jobs.status import (
    Group,
    LeaseWatch,
    State,
    find_entry,
    finished_ids,
    look_up,
    overview,
)
from pipeline.store.base import Always
from tests.support.manifests import body
from tests.support.yard import NOON, Yard


@pytest.fixture
def yard() -> Iterator[Yard]:
    yard = Yard(holding=True, backoff_base_seconds=5)
    yield yard
    yard.close()


def keyed(id: str, *, priority: int = 5, tenant: str = "acme") -> str:
    return f"inbox/{9 - priority}.{tenant}.flux-dev.{id}.json"


def test_a_job_is_found_wherever_it_is(yard: Yard) -> None:
    yard.submit("taken")
    yard.tick()
    yard.submit("refused", b"{}")
    yard.submit("keyed", key=keyed("keyed"))
    yard.submit("bare")
    yard.pass_time(3)
    views = look_up(yard.store, ["taken", "keyed", "bare", "nobody"])

    assert {id: view.state for id, view in views.items()} == {
        "taken": State.CLAIMED,
        "keyed": State.WAITING,
        "bare": State.WAITING,
        "nobody": State.UNKNOWN,
    }
    assert views["keyed"].since == NOON

    yard.tick()
    refused = look_up(yard.store, ["refused"])["refused"]

    assert refused.finished
    assert not refused.succeeded
    assert refused.result is not None
    assert refused.result.status is Status.REJECTED


def test_finished_jobs_are_looked_up_without_listing_the_inbox(yard: Yard) -> None:
    yard.submit("refused", b"{}")
    yard.tick()
    yard.raw.calls.clear()

    look_up(yard.store, ["refused"])

    assert yard.raw.calls == {"GET": 1}


def test_a_result_that_cannot_be_read_is_a_finished_job_all_the_same(yard: Yard) -> None:
    yard.store.create("jobs/odd/result.json", b"?")

    view = look_up(yard.store, ["odd"])["odd"]

    assert view.finished
    assert view.result is None


def test_a_job_that_moves_on_between_two_readings_is_not_missed(yard: Yard) -> None:
    yard.submit("quick", b"{}")

    def finish_before_the_inbox_is_listed(call: str, key: str) -> None:
        if (call, key) == ("LIST", "inbox/"):
            yard.raw.fail = lambda call, key: None
            yard.tick()

    yard.raw.fail = finish_before_the_inbox_is_listed

    assert look_up(yard.store, ["quick"])["quick"].finished


def test_the_overview_counts_what_waits_by_priority_tenant_and_kind(yard: Yard) -> None:
    yard.submit("a1", key=keyed("a1"))
    yard.pass_time(60)
    yard.submit("a2", key=keyed("a2"))
    yard.submit("b", key=keyed("b", priority=9, tenant="beta"))
    yard.submit("c")
    yard.submit("d", key="inbox/What Is This.json")
    seen = overview(yard.store)

    assert [(group, there.count) for group, there in seen.waiting.items()] == [
        (Group(9, "beta", "flux-dev"), 1),
        (Group(5, None, None), 1),
        (Group(5, "acme", "flux-dev"), 2),
    ]
    assert (seen.now - seen.waiting[Group(5, "acme", "flux-dev")].oldest).total_seconds() == 60
    assert seen.invalid_entries == 1
    assert not seen.held


def test_the_overview_shows_leases_and_does_not_count_their_entries_twice(yard: Yard) -> None:
    yard.submit("taken")
    yard.tick()
    yard.submit("taken")
    yard.submit("stranger", key="inbox/What Is This.json")
    yard.tick()
    seen = overview(yard.store)

    assert {id: view.state for id, view in seen.held.items()} == {"taken": State.CLAIMED}
    assert not seen.waiting
    assert (seen.rejected, seen.rejected_more) == (1, False)


def test_a_lease_that_only_owes_events_is_told_from_a_retry(yard: Yard) -> None:
    for id, committed in (("owing", True), ("again", False)):
        yard.submit(id)
        yard.tick()
        lease = yard.lease(id).waiting(not_before=NOON, committed=committed)
        yard.raw.put(f"leases/{id}.json", lease.body(), Always())

    assert {id: view.state for id, view in LeaseWatch(yard.store).look().items()} == {
        "owing": State.OWING,
        "again": State.RETRY,
    }


def test_watching_leases_reads_each_once_until_it_changes(yard: Yard) -> None:
    for id in ("one", "two"):
        yard.submit(id)
    yard.tick()
    watch = LeaseWatch(yard.store)
    watch.look()
    yard.raw.calls.clear()
    watch.look()

    assert yard.raw.calls == {"LIST": 1}

    changed = yard.lease("two").with_(owner="another")
    yard.raw.put("leases/two.json", changed.body(), Always())
    yard.raw.calls.clear()
    views = watch.look()

    assert yard.raw.calls == {"LIST": 1, "GET": 1}
    assert views["two"].lease == changed


def test_a_watched_lease_that_goes_is_gone(yard: Yard) -> None:
    yard.submit("one")
    yard.tick()
    watch = LeaseWatch(yard.store)
    assert set(watch.look()) == {"one"}

    yard.raw.delete("leases/one.json")

    assert not watch.look()


def test_bytes_that_are_no_lease_are_shown_as_held_by_somebody(yard: Yard) -> None:
    yard.raw.put("leases/odd.json", b"?", Always())
    yard.raw.put("leases/Not An Id.json", b"?", Always())
    watch = LeaseWatch(yard.store)

    for _ in range(2):
        assert [(view.id, view.lease) for view in watch.look().values()] == [("odd", None)]
    assert watch.reads == 1


def test_a_bare_entry_is_found_without_listing_the_whole_inbox(yard: Yard) -> None:
    for n in range(1500):
        yard.submit(f"job-{n:04}", body())
    yard.submit("job-0")
    yard.raw.calls.clear()
    entry = find_entry(yard.store, "job-0")

    assert entry is not None
    assert entry.key == "inbox/job-0.json"
    assert yard.raw.calls == {"LIST": 1}


def test_an_entry_beyond_the_first_page_is_found(yard: Yard) -> None:
    for n in range(1001):
        yard.submit(f"job-{n:04}", key=keyed(f"job-{n:04}"))
    entry = find_entry(yard.store, "job-1000")

    assert entry is not None
    assert entry.key == keyed("job-1000")


def test_finished_jobs_are_listed_with_the_newest_first(yard: Yard) -> None:
    for id in ("older", "newer"):
        yard.submit(id, b"{}")
        yard.tick()
        yard.pass_time(5)
    yard.submit("running")
    yard.tick()

    assert finished_ids(yard.store) == ["newer", "older"]
