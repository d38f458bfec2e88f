import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.contract.lease import Phase
from pipeline.contract.result import Status
from pipeline.dispatcher.hand_back import hand_back, hand_back_lost
from pipeline.queue.bounds import MOST_WAITS
from pipeline.queue.spawn import SpawnPayload
from pipeline.worker.execution import Ending, execute
from tests.support.pipeline_fixture import PipelineFixture


def spawned(pipeline: PipelineFixture) -> SpawnPayload:
    """The one that was spawned last; only now that it was."""
    pipeline.tick()
    return pipeline.held.payloads.pop()


def lose(pipeline: PipelineFixture, payload: SpawnPayload) -> bool:
    leases = pipeline.dispatcher.memory.lease_cache
    return hand_back_lost(pipeline.store, pipeline.settings, leases, payload)


def run(pipeline: PipelineFixture, payload: SpawnPayload) -> Ending:
    return execute(payload, pipeline.context, call_id=None)


def test_a_job_whose_worker_is_gone_goes_to_another_at_the_next_tick(
    holding: PipelineFixture,
) -> None:
    holding.submit("job-1")
    first = spawned(holding)
    assert lose(holding, first)
    lease = holding.lease("job-1")
    assert (lease.phase, lease.waits, lease.failures) == (Phase.RETRY, 1, 0)
    second = spawned(holding)
    assert run(holding, first) is Ending.STALE, "the late one finds another claim"
    assert run(holding, second) is Ending.COMMITTED
    assert not lose(holding, second)
    assert holding.result("job-1").status is Status.SUCCEEDED


def test_a_job_that_had_begun_is_left_to_its_lease(holding: PipelineFixture) -> None:
    holding.submit("job-1")
    payload = spawned(holding)
    running = payload.lease
    assert running is not None
    begun = running.with_(phase=Phase.RUNNING, nonce="worker")
    holding.store.replace("leases/job-1.json", begun.body(), payload.etag)
    assert not lose(holding, payload)
    assert hand_back(holding.store, [payload]) == 0
    assert holding.lease("job-1") == begun


def test_a_job_that_kills_its_workers_pauses_and_ends(holding: PipelineFixture) -> None:
    holding.submit("job-1")
    longest = holding.settings.backoff_cap_seconds
    for number in range(MOST_WAITS):
        payload = spawned(holding)
        assert lose(holding, payload)
        if number:
            holding.tick()
            assert not holding.held.payloads, "not before its pause is over"
        holding.pass_time(longest)
    holding.tick()
    error = holding.result("job-1").error
    assert error is not None
    assert error.code == "never_started"


@pytest.mark.parametrize("large", [False, True])
def test_a_payload_that_carries_no_lease_is_handed_back_by_what_stands(
    holding: PipelineFixture, large: bool
) -> None:
    holding.submit("job-1")
    payload = spawned(holding)
    if large:
        payload = payload.model_copy(update={"lease": None, "manifest": None})
    assert hand_back(holding.store, [payload]) == 1
    lease = holding.lease("job-1")
    assert (lease.phase, lease.waits) == (Phase.RETRY, 0)


STEPS = st.sampled_from(["submit", "tick", "other", "work", "again", "lose", "close", "wait"])


@settings(max_examples=10, deadline=None)
@given(steps=st.lists(STEPS, max_size=20), seed=st.integers(0, 9))
def test_whatever_is_handed_back_each_job_ends_once_and_is_made_once(
    steps: list[str], seed: int
) -> None:
    """Also where a payload is lost that its worker ends all the same, or that was lost before."""
    pipeline, draw = PipelineFixture(holding=True), random.Random(seed)
    dispatchers = (pipeline.dispatcher, pipeline.another("other", pipeline.held))
    given: list[SpawnPayload] = []
    endings: Counter[tuple[str, Ending]] = Counter()
    jobs = 0
    try:
        for step in [*steps, "submit"]:
            if step == "submit":
                pipeline.submit(f"job-{jobs}")
                jobs += 1
            elif step in ("tick", "other"):
                pipeline.tick(dispatchers[step == "other"])
            elif step == "wait":
                pipeline.pass_time(200)
            given += [each for each in pipeline.held.payloads if each not in given]
            if not given or step not in ("work", "again", "lose", "close"):
                continue
            payload = draw.choice(given)
            if step == "lose":
                lose(pipeline, payload)
            elif step == "close":
                hand_back(pipeline.store, [payload])
            else:
                endings[payload.id, run(pipeline, payload)] += 1
        while any(endings[f"job-{n}", Ending.COMMITTED] == 0 for n in range(jobs)):
            pipeline.pass_time(1000)
            pipeline.tick()
            for payload in pipeline.held.payloads:
                endings[payload.id, run(pipeline, payload)] += 1
        for number in range(jobs):
            assert pipeline.result(f"job-{number}").status is Status.SUCCEEDED
            assert endings[f"job-{number}", Ending.COMMITTED] == 1
        assert {ending for _, ending in endings} <= {Ending.COMMITTED, Ending.STALE}
    finally:
        pipeline.close()
