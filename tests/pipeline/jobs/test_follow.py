from collections.abc import Iterator

import pytest

from pipeline.jobs.follow import ASKS, Follower
from pipeline.jobs.status import State
from tests.support.instant import InstantEngine
from tests.support.yard import Yard


@pytest.fixture
def yard() -> Iterator[Yard]:
    yard = Yard(holding=True)
    yield yard
    yard.close()


def test_a_job_is_followed_from_waiting_to_its_result(yard: Yard) -> None:
    yard.submit("one")
    follower = Follower(yard.store, ["one"])
    follower.look()
    seen = [follower.views["one"].state]

    yard.tick()
    follower.look()
    seen.append(follower.views["one"].state)
    assert seen == [State.WAITING, State.CLAIMED]
    assert not follower.done

    for payload in yard.held.payloads:
        InstantEngine(yard.context).submit("Flux", payload)
    yard.deliver()
    follower.look()

    assert follower.done
    assert follower.views["one"].succeeded


def test_a_look_at_running_jobs_costs_one_list(yard: Yard) -> None:
    yard.submit("one")
    yard.tick()
    follower = Follower(yard.store, ["one"])
    follower.look()
    yard.raw.calls.clear()
    follower.look()

    assert yard.raw.calls == {"LIST": 1}


def test_many_that_were_never_seen_running_are_asked_for_in_turns(yard: Yard) -> None:
    ids = [f"job-{n}" for n in range(ASKS * 2 + 1)]
    for id in ids:
        yard.submit(id, b"{}")
    while yard.keys("inbox/"):
        yard.tick()
    follower = Follower(yard.store, ids)
    finished = []
    while not follower.done:
        yard.raw.calls.clear()
        follower.look()
        assert yard.raw.calls["GET"] <= ASKS
        finished.append(sum(view.finished for view in follower.views.values()))

    assert finished == [ASKS, ASKS * 2, ASKS * 2 + 1]


def test_a_job_whose_events_are_owed_has_ended(yard: Yard) -> None:
    yard.submit("one", b"{}")
    yard.submit("two")
    yard.tick()
    lease = yard.lease("two").model_copy(update={"id": "one", "entry": "inbox/one.json"})
    owing = lease.waiting(not_before=yard.now, committed=True)
    yard.store.create("leases/one.json", owing.body())
    follower = Follower(yard.store, ["one"])
    follower.look()

    assert follower.done


def test_nothing_to_follow_is_done_at_once(yard: Yard) -> None:
    follower = Follower(yard.store, [])
    follower.look()

    assert follower.done
