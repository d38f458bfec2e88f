"""What goes wrong between a claim and a result is tried again, within its bound."""

from datetime import timedelta

import pytest

from config.errors import ComfyDied, NodeFailed, OutOfMemory, StoreUnavailable
from pipeline.contract.lease import Phase
from pipeline.contract.result import Status
from pipeline.queue.bounds import MOST_LOST_CLAIMS, MOST_WAITS
from pipeline.queue.spawn import SpawnPayload
from pipeline.store.base import OutcomeUnknown
from tests.pipeline.conftest import MakePipeline
from tests.support.instant_comfyui import HoldingEngine, InstantServer, away, failing
from tests.support.pipeline_fixture import NOON, PipelineFixture


def test_an_engine_that_is_away_is_no_failure_of_the_job(holding: PipelineFixture) -> None:
    holding.held.error = away()
    holding.submit("job-1")
    assert holding.tick().failed == 1
    lease = holding.lease("job-1")
    assert (lease.phase, lease.attempt, lease.failures) == (Phase.RETRY, 1, 0)
    assert lease.error is not None
    assert lease.error.code == "engine_unavailable"
    assert lease.not_before == NOON + timedelta(seconds=5)
    holding.held.error = None
    assert holding.tick().taken_over == 0
    holding.pass_time(5)
    assert holding.tick().spawned == 1
    assert holding.lease("job-1").attempt == 2
    assert holding.keys("inbox/") == []


def test_an_engine_that_stays_away_never_uses_the_attempts_up(holding: PipelineFixture) -> None:
    holding.held.error = away()
    holding.submit("job-1")
    for _ in range(30):
        holding.tick()
        holding.pass_time(400)
    holding.held.error = None
    holding.tick()
    lease = holding.lease("job-1")
    assert (lease.failures, lease.waits, lease.lost_claims) == (0, 0, 0)
    assert len(holding.held.payloads) == 1


def test_one_job_that_breaks_its_taker_leaves_the_others_alone(holding: PipelineFixture) -> None:
    class Fragile(HoldingEngine):
        def submit(self, route: str, payload: SpawnPayload) -> None:
            if payload.id == "poison":
                raise RuntimeError("nobody thought of this")
            super().submit(route, payload)

    engine = Fragile()
    dispatcher = holding.another("fragile", engine)
    for id in ("a", "poison", "z"):
        holding.submit(id)
    report = holding.tick(dispatcher)
    assert (report.spawned, report.failed) == (2, 1)
    assert sorted(payload.id for payload in engine.payloads) == ["a", "z"]
    for _ in range(MOST_LOST_CLAIMS):
        holding.pass_time(70)
        holding.tick(dispatcher)
    result = holding.result("poison")
    assert result.status is Status.FAILED
    assert result.error is not None
    assert result.error.code == "claims_lost"
    assert holding.keys("inbox/") == []


def test_an_error_that_may_pass_is_tried_again_with_growing_pauses(
    make_pipeline: MakePipeline,
) -> None:
    errors = failing(OutOfMemory("full"), ComfyDied("gone"))
    pipeline = make_pipeline(server=InstantServer(errors), backoff_base_seconds=40)
    pipeline.submit("job-1")
    pipeline.tick()
    lease = pipeline.lease("job-1")
    assert (lease.phase, lease.attempt) == (Phase.RETRY, 1)
    assert lease.error is not None
    assert lease.error.code == "out_of_memory"
    assert lease.not_before == NOON + timedelta(seconds=40)
    pipeline.pass_time(39)
    assert pipeline.tick().taken_over == 0
    pipeline.pass_time(1)
    pipeline.tick()
    assert pipeline.lease("job-1").not_before == pipeline.now + timedelta(seconds=80)
    pipeline.pass_time(80)
    pipeline.tick()
    result = pipeline.result("job-1")
    assert (result.status, result.attempt) == (Status.SUCCEEDED, 3)
    assert [output.key for output in result.outputs] == ["jobs/job-1/out/a3/image-0.png"]
    assert pipeline.keys("leases/") == []


def test_an_error_that_stays_uses_the_attempts_up(make_pipeline: MakePipeline) -> None:
    pipeline = make_pipeline(
        server=InstantServer(failing(*[OutOfMemory("full")] * 9)), max_attempts=2
    )
    pipeline.submit("job-1")
    for _ in range(4):
        pipeline.tick()
        pipeline.pass_time(400)
    result = pipeline.result("job-1")
    assert (result.status, result.attempt) == (Status.FAILED, 2)
    assert result.error is not None
    assert result.error.code == "out_of_memory"
    assert pipeline.event_names().count("modal_flux_dev_generation_failed") == 1
    assert pipeline.keys("leases/") == []


def test_a_permanent_error_fails_at_once(make_pipeline: MakePipeline) -> None:
    error = NodeFailed("the sampler broke", log_tail=("line 1", "line 2"))
    pipeline = make_pipeline(server=InstantServer(failing(error)))
    pipeline.submit("job-1")
    pipeline.tick()
    result = pipeline.result("job-1")
    assert (result.status, result.attempt) == (Status.FAILED, 1)
    assert result.error is not None
    assert result.error.code == "node_failed"
    assert result.error.log_tail == ("line 1", "line 2")


def test_a_spawned_job_that_nobody_starts_is_spawned_again(holding: PipelineFixture) -> None:
    holding.submit("job-1")
    holding.tick()
    holding.pass_time(900)
    assert holding.tick().taken_over == 0
    holding.pass_time(1)
    assert holding.tick().taken_over == 1
    assert [
        (payload.id, payload.lease and payload.lease.attempt) for payload in holding.held.payloads
    ] == [
        ("job-1", 1),
        ("job-1", 2),
    ]


def lose(pipeline: PipelineFixture, ttl_s: float = 60) -> None:
    """A worker starts the job that was spawned last, and is never heard of again."""
    lease = pipeline.lease("job-1")
    running = lease.started(
        nonce=f"worker-{lease.attempt}",
        owner="worker",
        attempt=lease.attempt,
        call_id=None,
        ttl_s=ttl_s,
        rate_usd_per_s=0.0,
        now=pipeline.now,
    )
    pipeline.store.write("leases/job-1.json", running.body(), "application/json")


def test_a_job_that_is_lost_each_time_it_runs_fails(holding: PipelineFixture) -> None:
    holding.submit("job-1")
    for failures in range(holding.settings.max_attempts):
        holding.tick()
        assert holding.lease("job-1").failures == failures
        lose(holding)
        holding.tick()
        holding.pass_time(61)
    holding.tick()
    error = holding.result("job-1").error
    assert error is not None
    assert error.code == "attempts_exhausted"
    assert holding.keys("leases/") == []


def test_a_job_that_waits_for_a_worker_time_and_again_has_not_failed(
    holding: PipelineFixture,
) -> None:
    """Sixteen jobs of one worker, each as long as 0.4 of the spawned life, all get their turn."""
    holding.submit("job-1")
    for waits in range(7):
        holding.tick()
        lease = holding.lease("job-1")
        assert (lease.waits, lease.failures, lease.attempt) == (waits, 0, waits + 1)
        holding.pass_time(901)
    holding.tick()
    lose(holding)
    holding.tick()
    assert holding.lease("job-1").waits == 0


def test_a_job_that_no_worker_ever_starts_ends_with_that_reason(holding: PipelineFixture) -> None:
    holding.submit("job-1")
    for _ in range(MOST_WAITS):
        holding.tick()
        holding.pass_time(901)
    assert holding.keys("jobs/job-1/result") == []
    holding.tick()
    error = holding.result("job-1").error
    assert error is not None
    assert error.code == "never_started"
    assert holding.keys("leases/") == []


def test_an_entry_that_was_put_again_counts_nothing(holding: PipelineFixture) -> None:
    holding.submit("job-1")
    holding.tick()
    holding.pass_time(900)
    holding.submit("job-1")
    holding.pass_time(1)
    holding.tick()
    lease = holding.lease("job-1")
    assert (lease.attempt, lease.waits, lease.lost_claims) == (2, 0, 0)


def test_the_end_of_an_execution_that_said_it_stops_is_no_failure(
    holding: PipelineFixture,
) -> None:
    holding.submit("job-1")
    holding.tick()
    lose(holding)
    running = holding.lease("job-1").stopped_in_good_order()
    holding.store.write("leases/job-1.json", running.body(), "application/json")
    holding.tick()
    holding.pass_time(61)
    holding.tick()
    lease = holding.lease("job-1")
    assert (lease.failures, lease.preemptions, lease.stopped) == (0, 1, False)


def test_a_lease_that_a_stranger_overwrote_is_taken_over(holding: PipelineFixture) -> None:
    holding.submit("job-1")
    holding.tick()
    holding.store.write("leases/job-1.json", b"what is this", "text/plain")
    holding.tick()
    holding.pass_time(901)
    holding.tick()
    assert holding.lease("job-1").attempt == 1
    assert len(holding.held.payloads) == 2


def test_a_strangers_object_among_the_leases_is_left_alone(pipeline: PipelineFixture) -> None:
    pipeline.store.write("leases/README.txt", b"hello", "text/plain")
    pipeline.submit("job-1")
    pipeline.tick()
    pipeline.pass_time(10_000)
    pipeline.tick()
    assert pipeline.result("job-1").status is Status.SUCCEEDED
    assert pipeline.keys("leases/") == ["leases/README.txt"]


def test_a_store_that_is_away_fails_the_tick_and_loses_nothing(pipeline: PipelineFixture) -> None:
    pipeline.submit("job-1")
    pipeline.raw.fail = lambda call, key: OutcomeUnknown("timeout")
    with pytest.raises(StoreUnavailable):
        pipeline.tick()
    pipeline.raw.fail = lambda call, key: None
    pipeline.tick()
    assert pipeline.result("job-1").status is Status.SUCCEEDED


def test_a_store_that_fails_for_one_job_fails_one_job(pipeline: PipelineFixture) -> None:
    pipeline.raw.fail = lambda call, key: OutcomeUnknown("500") if "bad" in key else None
    pipeline.submit("bad")
    pipeline.submit("good")
    report = pipeline.tick()
    assert report.failed == 1
    assert pipeline.result("good").status is Status.SUCCEEDED
    pipeline.raw.fail = lambda call, key: None
    pipeline.pass_time(61)
    pipeline.tick()
    assert pipeline.result("bad").status is Status.SUCCEEDED
