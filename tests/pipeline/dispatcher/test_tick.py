from dataclasses import replace

from pipeline.contract.keys import lease_key
from pipeline.contract.result import Status
from tests.pipeline.conftest import MakePipeline
from tests.support.jobs import a_lease
from tests.support.manifests import body
from tests.support.pipeline_fixture import PipelineFixture

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
        "spend/2026-03-01/default/local.flux-dev.0.-.job-1",
    ]
    assert pipeline.event_names() == [
        "modal_flux_dev_generation_requested",
        "modal_flux_dev_generation_completed",
    ]


def test_a_job_costs_six_puts_one_get_and_two_deletes(pipeline: PipelineFixture) -> None:
    pipeline.tick()
    pipeline.raw.calls.clear()
    pipeline.submit("job-1")
    pipeline.tick()
    outputs_and_metrics, by_the_producer = 2, 1
    assert pipeline.raw.calls["PUT"] - outputs_and_metrics + by_the_producer == 6
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
    assert pipeline.raw.calls["LIST"] <= 4


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


def test_two_dispatchers_spawn_a_job_once(holding: PipelineFixture) -> None:
    for n in range(8):
        holding.submit(f"job-{n}")
    one, other = holding.another("one"), holding.another("other")
    ticks = [holding.pool.submit(holding.tick, each) for each in (one, other)]
    for each in ticks:
        each.result()
    assert sorted(payload.id for payload in holding.held.payloads) == [f"job-{n}" for n in range(8)]


def test_jobs_of_a_route_that_fits_no_gpu_here_are_left_to_other_machines(
    holding: PipelineFixture,
) -> None:
    """Those of the inbox, and those that somebody else has lost."""
    small = replace(
        holding.dispatcher, runtime=replace(holding.runtime, misfits=frozenset({"Flux"}))
    )
    holding.submit("bare")
    holding.submit("keyed", key="inbox/4.acme.flux-dev.keyed.json", manifest=body(tenant="acme"))
    assert holding.tick(small).claimed == 0
    assert holding.tick().claimed == 2
    holding.pass_time(holding.settings.spawned_seconds + 1)
    assert holding.tick(small).taken_over == 0
    assert holding.tick().taken_over == 2
    holding.submit("another", body(model="z-image-turbo"))
    assert holding.tick(small).claimed == 1
