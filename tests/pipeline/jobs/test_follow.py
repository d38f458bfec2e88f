from collections.abc import Iterator

import pytest

from pipeline.jobs.follow import ASKS, Follower
from pipeline.jobs.status import State
from tests.support.instant_comfyui import InstantEngine
from tests.support.pipeline_fixture import PipelineFixture


@pytest.fixture
def pipeline() -> Iterator[PipelineFixture]:
    pipeline = PipelineFixture(holding=True)
    yield pipeline
    pipeline.close()


def test_a_job_is_followed_from_waiting_to_its_result(pipeline: PipelineFixture) -> None:
    pipeline.submit("one")
    follower = Follower(pipeline.store, ["one"])
    follower.look()
    seen = [follower.views["one"].state]

    pipeline.tick()
    follower.look()
    seen.append(follower.views["one"].state)
    assert seen == [State.WAITING, State.CLAIMED]
    assert not follower.done

    for payload in pipeline.held.payloads:
        InstantEngine(pipeline.context).submit("Flux", payload)
    pipeline.deliver()
    follower.look()

    assert follower.done
    assert follower.views["one"].succeeded


def test_a_look_at_running_jobs_costs_one_list(pipeline: PipelineFixture) -> None:
    pipeline.submit("one")
    pipeline.tick()
    follower = Follower(pipeline.store, ["one"])
    follower.look()
    pipeline.raw.calls.clear()
    follower.look()

    assert pipeline.raw.calls == {"LIST": 1}


def test_many_that_were_never_seen_running_are_asked_for_in_turns(
    pipeline: PipelineFixture,
) -> None:
    ids = [f"job-{n}" for n in range(ASKS * 2 + 1)]
    for id in ids:
        pipeline.submit(id, b"{}")
    while pipeline.keys("inbox/"):
        pipeline.tick()
    follower = Follower(pipeline.store, ids)
    finished = []
    while not follower.done:
        pipeline.raw.calls.clear()
        follower.look()
        assert pipeline.raw.calls["GET"] <= ASKS
        finished.append(sum(view.finished for view in follower.views.values()))

    assert finished == [ASKS, ASKS * 2, ASKS * 2 + 1]


def test_a_job_whose_events_are_owed_has_ended(pipeline: PipelineFixture) -> None:
    pipeline.submit("one", b"{}")
    pipeline.submit("two")
    pipeline.tick()
    lease = pipeline.lease("two").model_copy(update={"id": "one", "entry": "inbox/one.json"})
    owing = lease.waiting(not_before=pipeline.now, committed=True)
    pipeline.store.create("leases/one.json", owing.body())
    follower = Follower(pipeline.store, ["one"])
    follower.look()

    assert follower.done


def test_nothing_to_follow_is_done_at_once(pipeline: PipelineFixture) -> None:
    follower = Follower(pipeline.store, [])
    follower.look()

    assert follower.done
