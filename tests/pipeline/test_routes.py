"""A route is renamed or removed while its jobs wait, are spawned or run: they go on under the new
table, or are refused by it; nothing breaks."""

from dataclasses import replace
from typing import Any

import pytest

from config.errors import EngineUnavailable
from config.routes import RouteTable
from handlers.kinds.flux import FluxDev
from pipeline.contract.lease import Phase
from pipeline.contract.result import Status
from pipeline.dispatcher.dispatcher import Dispatcher
from pipeline.queue.spawn import SpawnPayload
from pipeline.runtime import RuntimeConfig
from pipeline.worker.execution import Ending, execute
from tests.pipeline.conftest import MakePipeline
from tests.support.instant_comfyui import HoldingEngine
from tests.support.jobs import a_lease
from tests.support.manifests import body
from tests.support.pipeline_fixture import NOON, PipelineFixture

MODEL = "flux-dev"


class RoutedEngine(HoldingEngine):
    """Starts workers of these routes alone, as a deployed app does."""

    def __init__(self, *routes: str) -> None:
        super().__init__()
        self.routes = routes
        self.taken: list[tuple[str, str]] = []

    def submit(self, route: str, payload: SpawnPayload) -> None:
        if route not in self.routes:
            raise EngineUnavailable(f"no class {route} is deployed")
        super().submit(route, payload)
        self.taken.append((route, payload.id))


def table(runtime: RuntimeConfig, **renamed: str | None) -> RuntimeConfig:
    """The table with these routes under another name, or without them."""
    routes = {
        new: route.model_copy(update={"name": new})
        for old, route in runtime.routes.routes.items()
        if (new := renamed.get(old, old)) is not None
    }
    return replace(runtime, routes=RouteTable(routes=routes))


def dispatcher(
    pipeline: PipelineFixture, engine: HoldingEngine, **renamed: str | None
) -> Dispatcher:
    """Of the next version."""
    return replace(
        pipeline.another("next", engine),
        runtime=table(pipeline.runtime, **renamed),
    )


@pytest.fixture
def pipeline(make_pipeline: MakePipeline) -> PipelineFixture:
    return make_pipeline(holding=True)


@pytest.mark.parametrize("key", ["inbox/job.json", "inbox/4.default.flux-dev.job.json"])
def test_what_waits_for_a_removed_route_is_refused(pipeline: PipelineFixture, key: str) -> None:
    pipeline.submit("job", key=key)
    engine = RoutedEngine("ZImage", "InstantId")
    report = pipeline.tick(dispatcher(pipeline, engine, Flux=None))
    result = pipeline.result("job")
    assert result.error is not None
    assert (result.status, result.error.code) == (Status.REJECTED, "not_available")
    assert (report.committed, report.failed) == (1, 0)
    assert pipeline.keys("inbox/") == pipeline.keys("leases/") == []


def test_what_waits_for_a_renamed_route_runs_on_the_new_one(
    pipeline: PipelineFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline.submit("job", key="inbox/4.default.flux-dev.job.json")
    monkeypatch.setattr(FluxDev, "route", "FluxBig")
    engine = RoutedEngine("FluxBig")
    assert pipeline.tick(dispatcher(pipeline, engine, Flux="FluxBig")).spawned == 1
    assert engine.taken == [("FluxBig", "job")]


@pytest.mark.parametrize("phase", [Phase.CLAIMED, Phase.SPAWNED, Phase.RUNNING])
def test_a_job_in_flight_on_a_removed_route_breaks_no_tick_and_takes_no_slot(
    pipeline: PipelineFixture, phase: Phase
) -> None:
    lease = a_lease(id="there", entry="inbox/4.acme.flux-dev.there.json", phase=phase)
    pipeline.store.create("leases/there.json", lease.body())
    pipeline.submit("job", body(model="z-image-turbo"))
    engine = RoutedEngine("ZImage")
    report = pipeline.tick(dispatcher(pipeline, engine, Flux=None))
    assert (report.in_flight, report.spawned, report.failed) == (1, 1, 0)
    assert pipeline.lease("there") == lease


def test_a_job_in_flight_counts_on_the_route_that_its_model_has_now(
    make_pipeline: MakePipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline = make_pipeline(holding=True, routes="[routes.Flux]\nmax_in_flight = 1\n")
    pipeline.submit("running")
    pipeline.tick()
    monkeypatch.setattr(FluxDev, "route", "FluxBig")
    next_version = dispatcher(pipeline, RoutedEngine("FluxBig"), Flux="FluxBig")
    pipeline.tick(next_version)
    execute_start(pipeline)
    pipeline.submit("waits", body(), key="inbox/4.default.flux-dev.waits.json")
    assert pipeline.tick(next_version).claimed == 0


def execute_start(pipeline: PipelineFixture) -> None:
    """A worker of the version before starts the job, and works on."""
    (payload,) = pipeline.held.payloads
    assert payload.lease is not None
    running = payload.lease.started(
        nonce="w",
        owner="worker",
        attempt=1,
        call_id=None,
        ttl_s=60,
        rate_usd_per_s=0,
        now=pipeline.now,
    )
    pipeline.store.replace(f"leases/{payload.id}.json", running.body(), payload.etag)


def test_what_was_spawned_on_a_class_that_is_gone_lapses_and_is_spawned_on_the_new_one(
    pipeline: PipelineFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline.submit("job")
    pipeline.tick()
    assert [payload.id for payload in pipeline.held.payloads] == ["job"]

    monkeypatch.setattr(FluxDev, "route", "FluxBig")
    engine = RoutedEngine("FluxBig")
    next_version = dispatcher(pipeline, engine, Flux="FluxBig")
    pipeline.tick(next_version)
    pipeline.pass_time(pipeline.settings.spawned_seconds + 1)
    assert pipeline.tick(next_version).taken_over == 1
    assert engine.taken == [("FluxBig", "job")]
    lease = pipeline.lease("job")
    assert (lease.attempt, lease.failures, lease.waits) == (2, 0, 1)

    # The one before may start late all the same: its lease has moved on.
    context = replace(pipeline.context, runtime=next_version.runtime)
    assert execute(pipeline.held.payloads[0], context, call_id=None) is Ending.STALE
    assert execute(engine.payloads[0], context, call_id=None) is Ending.COMMITTED


def test_what_was_spawned_on_a_route_that_is_gone_altogether_lapses_and_is_refused(
    pipeline: PipelineFixture,
) -> None:
    pipeline.submit("job")
    pipeline.tick()
    next_version = dispatcher(pipeline, RoutedEngine(), Flux=None)
    pipeline.tick(next_version)
    pipeline.pass_time(pipeline.settings.spawned_seconds + 1)
    pipeline.tick(next_version)
    result = pipeline.result("job")
    assert result.error is not None
    assert result.error.code == "not_available"
    assert pipeline.keys("leases/") == []


def test_a_retry_on_a_removed_route_is_refused_although_no_slot_is_free(
    pipeline: PipelineFixture,
) -> None:
    lease = a_lease(phase=Phase.RETRY, not_before=NOON)
    pipeline.store.create("jobs/job/manifest.json", body(tenant="acme"))
    pipeline.store.create("leases/job.json", lease.body())
    pipeline.tick(dispatcher(pipeline, RoutedEngine(), Flux=None, ZImage=None, InstantId=None))
    assert pipeline.result("job").status is Status.REJECTED


def test_a_version_whose_class_is_gone_leaves_its_jobs_to_the_one_that_is_deployed(
    pipeline: PipelineFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both dispatch over one bucket for a while."""
    engine = RoutedEngine("FluxBig")
    before = replace(pipeline.another("before", engine), jitter=lambda: 0.0)
    for n in range(4):
        pipeline.submit(f"job-{n}", key=f"inbox/4.default.flux-dev.job-{n}.json")
    report = pipeline.tick(before)
    assert (report.spawned, report.failed) == (0, 4)
    lease = pipeline.lease("job-0")
    assert (lease.phase, lease.failures, lease.waits) == (Phase.RETRY, 0, 0)

    monkeypatch.setattr(FluxDev, "route", "FluxBig")
    pipeline.pass_time(60)
    pipeline.tick(dispatcher(pipeline, engine, Flux="FluxBig"))
    assert sorted(engine.taken) == [("FluxBig", f"job-{n}") for n in range(4)]


def test_a_route_that_goes_between_preflight_and_spawn_hands_the_job_back(
    pipeline: PipelineFixture,
) -> None:
    pipeline.submit("job")
    runtime = pipeline.runtime
    fields: dict[str, Any] = {name: getattr(runtime, name) for name in vars(runtime)}

    class Gone(RuntimeConfig):
        def route_of(self, model: str | None) -> str | None:
            return None

    report = pipeline.tick(replace(pipeline.dispatcher, runtime=Gone(**fields)))
    assert (report.spawned, report.failed) == (0, 1)
    lease = pipeline.lease("job")
    assert lease.error is not None
    assert (lease.phase, lease.error.code) == (Phase.RETRY, "engine_unavailable")
    assert pipeline.tick(pipeline.dispatcher).failed == 0
