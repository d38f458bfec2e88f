import json
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from config.errors import ComfyDied, NodeFailed, OutOfMemory, StoreUnavailable
from events.sink import MemorySink, NotDelivered
from events.stored_event import StoredEvent
from pipeline.contract.keys import lease_key, manifest_key, result_key
from pipeline.contract.lease import Phase
from pipeline.contract.result import Status
from pipeline.dispatcher.replays import REPLAYS_PER_TICK
from pipeline.queue.bounds import MOST_LOST_CLAIMS, MOST_WAITS
from pipeline.queue.spawn import SpawnPayload
from pipeline.store.base import Always, OutcomeUnknown
from tests.events.builders import completed
from tests.pipeline.conftest import MakePipeline
from tests.support.instant_comfyui import HoldingEngine, InstantServer, away, failing
from tests.support.jobs import a_lease, a_result
from tests.support.manifests import body
from tests.support.pipeline_fixture import NOON, PipelineFixture

FOUR_PLACES = "[routes.Flux]\nmax_in_flight = 4\n"


def test_a_job_goes_from_manifest_to_result(pipeline: PipelineFixture) -> None:
    pipeline.submit("job-1")
    report = pipeline.tick()
    result = pipeline.result("job-1")
    assert (report.spawned, report.failed) == (1, 0)
    assert (result.status, result.attempt) == (Status.SUCCEEDED, 1)
    assert pipeline.keys() == [
        "jobs/job-1/manifest.json",
        "jobs/job-1/out/a1/image-0.png",
        "jobs/job-1/out/a1/metrics.json",
        "jobs/job-1/result.json",
    ]
    assert pipeline.event_names() == [
        "modal_flux_dev_generation_requested",
        "modal_flux_dev_generation_completed",
    ]


def test_a_job_costs_five_puts_one_get_and_two_deletes(pipeline: PipelineFixture) -> None:
    pipeline.tick()
    pipeline.raw.calls.clear()
    pipeline.submit("job-1")
    pipeline.tick()
    outputs_and_metrics, by_the_producer = 2, 1
    assert pipeline.raw.calls["PUT"] - outputs_and_metrics + by_the_producer == 5
    assert pipeline.raw.calls["GET"] == 1
    assert pipeline.raw.calls["DELETE"] == 2


def test_an_idle_tick_costs_two_listings(pipeline: PipelineFixture) -> None:
    pipeline.tick()
    pipeline.raw.calls.clear()
    report = pipeline.tick()
    assert pipeline.raw.calls == {"LIST": 2}
    assert not report.active


def test_a_vacant_lease_keeps_nobody_awake(pipeline: PipelineFixture) -> None:
    vacant = a_lease(id="gone", entry="inbox/gone.json").vacated()
    pipeline.safe().create(lease_key("gone"), vacant.body())
    pipeline.tick()
    report = pipeline.tick()
    assert (report.retrying, report.active) == (0, False)


def test_a_waiting_job_that_is_held_costs_no_read_at_the_next_tick(
    holding: PipelineFixture,
) -> None:
    holding.submit("job-1")
    holding.tick()
    holding.raw.calls.clear()
    report = holding.tick()
    assert holding.raw.calls == {"LIST": 2}
    assert (report.in_flight, report.active) == (1, True)


def test_no_more_bodies_are_read_than_jobs_are_claimed(make_pipeline: MakePipeline) -> None:
    pipeline = make_pipeline(holding=True, routes=FOUR_PLACES)
    for n in range(2500):
        key = f"inbox/4.acme.flux-dev.job-{n:04}.json"
        pipeline.submit("", body(tenant="acme"), key=key)
    report = pipeline.tick()
    assert (report.spawned, report.more) == (4, True)
    assert len(pipeline.raw.gets) == 4
    pipeline.raw.calls.clear()
    pipeline.tick()
    assert "GET" not in pipeline.raw.calls
    assert pipeline.raw.calls["LIST"] <= 3


def test_a_route_takes_no_more_than_its_places(make_pipeline: MakePipeline) -> None:
    pipeline = make_pipeline(holding=True, routes=FOUR_PLACES)
    for n in range(10):
        pipeline.submit(f"job-{n}")
    pipeline.tick()
    pipeline.tick()
    taken = sorted(payload.id for payload in pipeline.held.payloads)  # by threads that race
    assert taken == ["job-0", "job-1", "job-2", "job-3"]


def test_higher_priority_goes_first_and_tenants_take_turns(make_pipeline: MakePipeline) -> None:
    pipeline = make_pipeline(holding=True, routes=FOUR_PLACES)
    for tenant, id, priority in (
        ("a", "a1", 5),
        ("a", "a2", 5),
        ("a", "a3", 5),
        ("b", "b1", 5),
        ("b", "urgent", 9),
    ):
        manifest = body(tenant=tenant, priority=priority)
        pipeline.submit(id, manifest, key=f"inbox/{9 - priority}.{tenant}.flux-dev.{id}.json")
        pipeline.pass_time(1)
    pipeline.pool._max_workers = 1
    pipeline.tick()
    assert {payload.id for payload in pipeline.held.payloads} == {"urgent", "a1", "a2", "b1"}


# Jobs that are over and owe their events


class Away(MemorySink):
    """PostHog as it is, or not."""

    def __init__(self) -> None:
        super().__init__()
        self.down = True
        self.requests = 0

    def deliver(self, events: Sequence[StoredEvent]) -> Sequence[StoredEvent]:
        self.requests += 1
        if self.down:
            raise NotDelivered("503: busy", status=503)
        return super().deliver(events)


def owe(pipeline: PipelineFixture, id: str, **changes: Any) -> None:
    """A job that is over, but for its events."""
    names = {"id": id, "entry": f"inbox/{id}.json", "phase": Phase.RETRY, "committed": True}
    lease = a_lease(**{**names, "not_before": pipeline.now, **changes})
    result = a_result(id=id, events=(completed(id),))
    for key, stored in (
        (manifest_key(id), body()),
        (result_key(id), result.body()),
        (lease_key(id), lease.body()),
    ):
        pipeline.raw._store.put(key, stored, Always())


@pytest.mark.parametrize("owing", [100, pytest.param(1500, marks=pytest.mark.thorough)])
def test_with_posthog_away_many_owed_events_cost_one_request_a_pause_and_few_calls_a_tick(
    make_pipeline: MakePipeline, owing: int
) -> None:
    sink = Away()
    pipeline = make_pipeline(sink=sink, turned=True, holding=True)
    for n in range(owing):
        owe(pipeline, f"job-{n:04}")
    pipeline.tick()  # reads each lease once
    took, most = 1, 0
    began = pipeline.now
    tried_after = [0.0]
    for _ in range(190):
        pipeline.pass_time(1)
        pipeline.raw.calls.clear()
        before = sink.requests
        report = pipeline.tick()
        took += report.taken_over
        most = max(most, sum(pipeline.raw.calls.values()))
        if sink.requests > before:
            tried_after.append((pipeline.now - began).total_seconds())
        assert not report.active
    assert tried_after == [0, 2, 6, 14, 30, 62, 122, 182]
    assert took == sink.requests == len(tried_after)
    assert most <= 8, "three LISTs, a take-over of four calls, a read of the lease before it"

    sink.down = False
    pipeline.pass_time(4000)
    ticks = 0
    while pipeline.keys("leases/"):
        report = pipeline.tick()
        ticks += 1
        assert report.taken_over <= REPLAYS_PER_TICK
        assert report.active is (report.replays_left > 0)
        assert ticks < 60
    assert len(sink.events) == owing


@pytest.mark.parametrize("down", [False, True])
def test_jobs_take_as_many_ticks_with_posthog_away_as_with_it_there(
    make_pipeline: MakePipeline, down: bool
) -> None:
    sink = Away()
    sink.down = down
    pipeline = make_pipeline(sink=sink, turned=True, routes=FOUR_PLACES)
    for n in range(40):
        pipeline.submit(f"job-{n:02}")
    reports = []
    while pipeline.keys("inbox/"):
        reports.append(pipeline.tick())
        pipeline.pass_time(1)
    assert [report.spawned for report in reports] == [4] * 10
    assert sum(report.taken_over for report in reports) == down, "one to see whether it is there"
    assert len(pipeline.keys("leases/")) == (40 if down else 0)


def test_owed_events_take_no_place_and_come_after_all_jobs(make_pipeline: MakePipeline) -> None:
    sink = Away()
    sink.down = False
    pipeline = make_pipeline(sink=sink, holding=True, routes=FOUR_PLACES)
    pipeline.sender.best_effort([completed("any")])  # PostHog is known to be there
    pipeline.deliver()
    for n in range(10):
        owe(pipeline, f"over-{n}")
    retry = a_lease(id="again", entry="inbox/again.json", phase=Phase.RETRY, not_before=NOON)
    pipeline.raw._store.put(manifest_key("again"), body(), Always())
    pipeline.raw._store.put(lease_key("again"), retry.body(), Always())
    for n in range(10):
        pipeline.submit(f"new-{n}")
    pipeline.pool._max_workers = 1
    written: list[str] = []

    def note(call: str, key: str) -> None:
        if call == "PUT" and key.startswith("leases/"):
            written.append(key.removeprefix("leases/").partition("-")[0].removesuffix(".json"))

    pipeline.raw.fail = note
    report = pipeline.tick()
    assert (report.spawned, report.taken_over, report.in_flight) == (4, 11, 0)
    assert written[:14] == ["again", "new", "new", "new", *["over"] * 10]
    assert pipeline.tick().in_flight == 4


def test_a_take_over_of_owed_events_needs_no_place(make_pipeline: MakePipeline) -> None:
    sink = Away()
    sink.down = False
    pipeline = make_pipeline(sink=sink, holding=True, routes=FOUR_PLACES)
    for n in range(4):
        pipeline.submit(f"new-{n}")
    pipeline.tick()
    owe(pipeline, "over")
    assert pipeline.tick().taken_over == 1
    assert "leases/over.json" not in pipeline.keys("leases/")


def test_an_entry_beside_owed_events_goes_even_while_posthog_pauses(
    make_pipeline: MakePipeline,
) -> None:
    pipeline = make_pipeline(sink=Away(), turned=True, holding=True, routes=FOUR_PLACES)
    pipeline.sender.best_effort([completed("any")])  # PostHog pauses from here on
    pipeline.deliver()
    owe(pipeline, "same")
    owe(pipeline, "other")
    pipeline.submit("same")
    pipeline.submit("other", body("a dog"))
    assert pipeline.tick().taken_over == 2
    assert pipeline.keys("inbox/") == []
    assert len(pipeline.rejected()) == 1
    assert pipeline.lease("same").deliveries == 1
    pipeline.pass_time(1.5)
    assert pipeline.tick().taken_over == 0


# What cannot become a job, or is not run


@pytest.mark.parametrize(
    ("manifest", "code", "field"),
    [
        (b"{", "manifest_not_json", None),
        (b"", "manifest_not_json", None),
        (b" " * 300_000, "manifest_too_large", None),
        (b'{"version": 2}', "unsupported_version", "version"),
        (body(input={"stpes": 3}), "unknown_field", "input.stpes"),
        (body(input={"steps": 0}), "invalid_field", "input.steps"),
        (body(model="wan-t2v"), "not_available", "model"),
        (body(callback_url="https://example.com"), "not_available", "callback_url"),
        (
            body(max_cost_usd=0.0001, input={"steps": 50, "num_images": 8}),
            "over_budget",
            "max_cost_usd",
        ),
        (body(prompt="\ud800"), "manifest_not_json", None),
        (body(metadata={"n": 1}).replace(b"1}", b"1e999}"), "manifest_not_json", None),
    ],
    ids=lambda value: str(value)[:30] if isinstance(value, str) else "",
)
def test_a_bad_manifest_ends_in_a_rejected_result(
    pipeline: PipelineFixture, manifest: bytes, code: str, field: str | None
) -> None:
    pipeline.submit("bad", manifest)
    pipeline.submit("good")
    report = pipeline.tick()
    result = pipeline.result("bad")
    assert result.status is Status.REJECTED
    assert result.error is not None
    assert (result.error.code, result.error.field) == (code, field)
    assert result.error.hint or code in ("invalid_field",)
    assert (report.committed, report.failed) == (1, 0)
    assert pipeline.result("good").status is Status.SUCCEEDED
    assert pipeline.keys("inbox/") == pipeline.keys("leases/") == []


def test_a_result_names_every_problem_of_its_manifest(pipeline: PipelineFixture) -> None:
    pipeline.submit("bad", body(input={"steps": 0, "stpes": 1}))
    pipeline.tick()
    result = pipeline.result("bad")
    assert result.error is not None
    assert {result.error.field, *(more.field for more in result.also)} == {
        "input.steps",
        "input.stpes",
    }


def test_a_refusal_says_what_the_budget_would_have_to_be(pipeline: PipelineFixture) -> None:
    pipeline.submit("dear", body(max_cost_usd=0.0001, input={"steps": 50}))
    pipeline.tick()
    error = pipeline.result("dear").error
    assert error is not None
    assert error.hint is not None
    allowed = float(error.hint.split("$")[1].split(",")[0])
    pipeline.submit("paid", body(max_cost_usd=allowed, input={"steps": 50}))
    pipeline.tick()
    assert pipeline.result("paid").status is Status.SUCCEEDED


@pytest.mark.parametrize(
    ("deadline", "status"),
    [(NOON - timedelta(seconds=1), Status.FAILED), (NOON + timedelta(hours=1), Status.SUCCEEDED)],
)
def test_a_deadline_is_kept_by_the_stores_clock(
    pipeline: PipelineFixture, deadline: Any, status: Status
) -> None:
    pipeline.submit("job-1", body(deadline=deadline.isoformat()))
    pipeline.tick()
    result = pipeline.result("job-1")
    assert result.status is status
    assert (result.error is not None and result.error.code) == (
        "deadline_exceeded" if status is Status.FAILED else False
    )


def test_a_job_whose_deadline_passes_on_the_way_is_not_begun(holding: PipelineFixture) -> None:
    holding.submit("job-1", body(deadline=(NOON + timedelta(seconds=30)).isoformat()))
    holding.tick()
    holding.pass_time(60)
    (payload,) = holding.held.payloads
    holding.store.list("leases/")
    from pipeline.worker.execution import execute

    execute(payload, holding.context, call_id=None)
    result = holding.result("job-1")
    assert result.status is Status.FAILED
    assert result.error is not None
    assert result.error.code == "deadline_exceeded"
    assert result.outputs == ()


def test_a_key_that_belies_its_manifest_is_refused(pipeline: PipelineFixture) -> None:
    pipeline.submit("job-1", body(tenant="acme"), key="inbox/4.other.flux-dev.job-1.json")
    pipeline.tick()
    error = pipeline.result("job-1").error
    assert error is not None
    assert (error.code, error.field) == ("key_mismatch", "tenant")


def test_a_duplicate_submission_changes_nothing(pipeline: PipelineFixture) -> None:
    pipeline.submit("job-1")
    pipeline.tick()
    first = pipeline.store.get("jobs/job-1/result.json")
    pipeline.submit("job-1")
    report = pipeline.tick()
    again = pipeline.store.get("jobs/job-1/result.json")
    assert first is not None
    assert again is not None
    assert first.body == again.body
    assert report.cleaned == 1
    assert pipeline.keys("inbox/") == pipeline.keys("leases/") == pipeline.keys("rejected/") == []


def test_another_body_for_a_used_id_is_filed_and_changes_nothing(pipeline: PipelineFixture) -> None:
    pipeline.submit("job-1", body("a cat"))
    pipeline.tick()
    first = pipeline.result("job-1")
    pipeline.submit("job-1", body("a dog"))
    pipeline.tick()
    assert pipeline.result("job-1") == first
    (record,) = pipeline.rejected()
    assert record["error"]["code"] == "id_conflict"
    assert "a dog" in record["body"]
    assert pipeline.keys("inbox/") == pipeline.keys("leases/") == []
    assert "modal_manifest_rejected" in pipeline.event_names()


@pytest.mark.parametrize(
    "name",
    [
        "Bad Name.json",
        "UPPER.json",
        "a.b.json",
        "job-1.txt",
        "-dash.json",
        "é.json",
        "x" * 97 + ".json",
    ],
)
@pytest.mark.parametrize("manifest", [body(), b""], ids=["a manifest", "empty"])
def test_a_name_that_is_no_id_is_filed_with_a_suggestion(
    pipeline: PipelineFixture, name: str, manifest: bytes
) -> None:
    pipeline.submit("", manifest, key=f"inbox/{name}")
    pipeline.submit("good")
    report = pipeline.tick()
    (record,) = pipeline.rejected()
    assert report.rejected == 1
    assert record["key"] == f"inbox/{name}"
    assert record["error"]["code"] == "invalid_id"
    assert record["body"].encode() == manifest
    assert "inbox/" in record["error"]["hint"] or "Use" in record["error"]["hint"]
    assert pipeline.keys("inbox/") == []
    assert pipeline.result("good").status is Status.SUCCEEDED


def test_many_strangers_do_not_hold_up_the_jobs_behind_them(pipeline: PipelineFixture) -> None:
    for n in range(150):
        pipeline.submit("", key=f"inbox/BAD {n}.json")
    pipeline.submit("job-1")
    pipeline.tick()
    assert pipeline.result("job-1").status is Status.SUCCEEDED
    assert len(pipeline.keys("inbox/")) == 150 - 64
    pipeline.tick()
    pipeline.tick()
    assert pipeline.keys("inbox/") == []
    assert len(pipeline.rejected()) == 150


# What goes wrong on the way


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


def test_two_dispatchers_spawn_a_job_once(holding: PipelineFixture) -> None:
    for n in range(8):
        holding.submit(f"job-{n}")
    one, other = holding.another("one"), holding.another("other")
    ticks = [holding.pool.submit(holding.tick, each) for each in (one, other)]
    for each in ticks:
        each.result()
    assert sorted(payload.id for payload in holding.held.payloads) == [f"job-{n}" for n in range(8)]


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2)
    ),
    max_leaves=5,
)
FIELDS = ["version", "model", "input", "tenant", "distinct_id", "metadata", "deadline", "consent"]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(
    st.binary(max_size=20)
    | st.dictionaries(st.sampled_from(FIELDS), JSON).map(
        lambda changes: json.dumps({**json.loads(body()), **changes}).encode()
    )
)
def test_any_bytes_under_a_good_name_end_in_a_result(
    make_pipeline: MakePipeline, poison: bytes
) -> None:
    pipeline = make_pipeline()
    pipeline.submit("poison", poison)
    pipeline.tick()
    assert pipeline.result("poison").status in (Status.SUCCEEDED, Status.REJECTED, Status.FAILED)
    assert pipeline.keys("inbox/") == pipeline.keys("leases/") == []
    pipeline.close()
