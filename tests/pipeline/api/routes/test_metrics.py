"""What waits and what is in progress, as Prometheus reads it."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient

from pipeline.api.auth import hashed
from pipeline.api.dependencies import ApiDependencies
from pipeline.api.routes.metrics import FRESH_S, metrics_router
from pipeline.contract.keys import inbox_key
from pipeline.contract.lease import Phase
from pipeline.contract.result import JobCost
from pipeline.contract.spend_entry import BODY, SpendEntry
from pipeline.store.base import Always, Busy
from tests.pipeline.conftest import MakePipeline
from tests.support.api import client_of
from tests.support.jobs import a_lease, a_result
from tests.support.manifests import body
from tests.support.pipeline_fixture import PipelineFixture


class Watch:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def watch() -> Watch:
    return Watch()


@pytest.fixture
def client(holding: PipelineFixture, watch: Watch) -> TestClient:
    return client_for(holding, watch)


def client_for(pipeline: PipelineFixture, watch: Watch) -> TestClient:
    dependencies = ApiDependencies(pipeline.runtime, pipeline.store)
    return client_of(dependencies, metrics_router(dependencies, monotonic=watch))


def read(client: TestClient, **options: Any) -> dict[str, float]:
    """Sample by its name and labels."""
    reply = client.get("/metrics", **options)
    assert reply.status_code == 200, reply.text
    assert reply.headers["content-type"].startswith("text/plain; version=")
    return {
        ".".join([sample.name, *(each for _, each in sorted(sample.labels.items()))]): sample.value
        for family in text_string_to_metric_families(reply.text)
        for sample in family.samples
    }


def wait(
    pipeline: PipelineFixture, id: str, model: str, tenant: str = "acme", priority: int = 5
) -> None:
    key = inbox_key(id, priority=priority, tenant=tenant, model=model)
    pipeline.submit(id, body(tenant=tenant, priority=priority), key=key)


def hold(pipeline: PipelineFixture, id: str, phase: Phase, **fields: Any) -> None:
    lease = a_lease(
        id=id,
        entry=inbox_key(id, priority=5, tenant="acme", model="flux-dev"),
        phase=phase,
        submitted_at=pipeline.now,
        **fields,
    )
    pipeline.raw.put(f"leases/{id}.json", lease.body(), Always())


def test_an_empty_bucket_has_nothing_to_tell_but_zeros(client: TestClient) -> None:
    assert read(client) == {
        "ryla_leases_past_life": 0,
        "ryla_jobs_owing": 0,
        "ryla_rejected_entries": 0,
        "ryla_inbox_strangers": 0,
        **{f"ryla_stops.{of}": 0 for of in ("all", "tenant", "kind")},
    }


def test_waiting_jobs_are_counted_by_kind_and_the_oldest_by_its_age(
    holding: PipelineFixture, client: TestClient
) -> None:
    wait(holding, "old", "flux-dev")
    holding.pass_time(90)
    wait(holding, "new", "flux-dev", tenant="other", priority=9)
    wait(holding, "one", "z-image-turbo")
    holding.submit("bare")
    holding.pass_time(10)
    told = read(client)
    assert told["ryla_jobs.flux-dev.waiting"] == 2
    assert told["ryla_jobs.z-image-turbo.waiting"] == 1
    assert told["ryla_jobs.unknown.waiting"] == 1
    assert told["ryla_oldest_waiting_seconds.flux-dev"] == 100
    assert told["ryla_oldest_waiting_seconds.z-image-turbo"] == 10


def test_jobs_in_progress_are_counted_by_state(
    holding: PipelineFixture, client: TestClient
) -> None:
    hold(holding, "a", Phase.RUNNING, ttl_s=60.0)
    hold(holding, "b", Phase.RUNNING, ttl_s=60.0)
    hold(holding, "c", Phase.SPAWNED)
    hold(holding, "d", Phase.CLAIMED)
    hold(holding, "e", Phase.RETRY, not_before=holding.now)
    hold(holding, "f", Phase.RETRY, not_before=holding.now, committed=True)
    hold(holding, "g", Phase.RETRY, vacant=True)
    told = read(client)
    assert told["ryla_jobs.flux-dev.running"] == 2
    assert told["ryla_jobs.flux-dev.claimed"] == 2
    assert told["ryla_jobs.flux-dev.retry"] == 1
    assert told["ryla_jobs_owing"] == 1
    assert sum(value for name, value in told.items() if name.startswith("ryla_jobs.")) == 5


def test_a_lease_nobody_renewed_is_past_its_life(
    holding: PipelineFixture, client: TestClient
) -> None:
    hold(holding, "dead", Phase.RUNNING, ttl_s=60.0)
    hold(holding, "patient", Phase.SPAWNED, ttl_s=900.0)
    hold(holding, "later", Phase.RETRY, not_before=holding.now)
    holding.raw.put("leases/strange.json", b"{", Always())
    holding.pass_time(61)
    assert read(client)["ryla_leases_past_life"] == 1


def test_what_cannot_become_a_job_is_counted(
    holding: PipelineFixture, client: TestClient, watch: Watch
) -> None:
    holding.submit("x", key="inbox/No Id.json")
    assert read(client)["ryla_inbox_strangers"] == 1
    holding.tick()
    watch.now += FRESH_S
    told = read(client)
    assert (told["ryla_inbox_strangers"], told["ryla_rejected_entries"]) == (0, 1)


def test_one_look_serves_everybody_for_some_seconds(
    holding: PipelineFixture, client: TestClient, watch: Watch
) -> None:
    hold(holding, "a", Phase.RUNNING, ttl_s=60.0)
    with client, ThreadPoolExecutor(8) as pool:
        before = holding.raw.calls["LIST"]
        assert len({tuple(told) for told in pool.map(lambda _: read(client), range(16))}) == 1
        one_look = holding.raw.calls["LIST"] - before
        assert one_look == 4
        watch.now += FRESH_S
        read(client)
    assert holding.raw.calls["LIST"] - before == 2 * one_look
    assert holding.raw.gets.count("leases/a.json") == 1  # it has not changed since


def test_a_store_that_is_away_is_a_problem_and_not_remembered(
    holding: PipelineFixture, client: TestClient
) -> None:
    holding.raw.fail = lambda call, key: Busy("503")
    assert client.get("/metrics").status_code == 503
    holding.raw.fail = lambda call, key: None
    assert read(client)["ryla_jobs_owing"] == 0


def test_a_key_is_needed_like_everywhere_and_shows_no_tenant(
    make_pipeline: MakePipeline, watch: Watch
) -> None:
    pipeline = make_pipeline(holding=True, api_keys=f"acme:{hashed('k')}")
    client = client_for(pipeline, watch)
    wait(pipeline, "one", "flux-dev", tenant="other")
    assert client.get("/metrics").status_code == 401
    told = read(client, headers={"Authorization": "Bearer k"})
    assert told["ryla_jobs.flux-dev.waiting"] == 1
    assert not any("other" in name for name in told)


def test_a_query_is_refused(client: TestClient) -> None:
    assert client.get("/metrics?name=x").status_code == 400


def test_stops_are_counted_by_what_they_are_of(
    holding: PipelineFixture, client: TestClient
) -> None:
    for key in ("all", "kind.flux-dev", "kind.flux-lora", "tenant.acme"):
        holding.raw.put(f"stops/{key}", b"", Always())
    told = read(client)
    assert [told[f"ryla_stops.{of}"] for of in ("all", "tenant", "kind")] == [1, 1, 2]


def test_what_is_used_of_budgets_is_shown_to_the_operators_key_alone(
    make_pipeline: MakePipeline, watch: Watch, tmp_path: Path
) -> None:
    path = tmp_path / "budgets.toml"
    path.write_text('[budgets.total]\nusd = 2\n[budgets.each]\ntenant = "*"\nusd = 1\n')
    keys = ",".join(f"{tenant}:{hashed(tenant)}" for tenant in ("default", "acme"))
    pipeline = make_pipeline(holding=True, budgets_file=path, api_keys=keys)
    cost = JobCost(usd=0.5, total_usd=0.5)
    ended = a_result(tenant="acme", cost=cost, finished_at=pipeline.now, platform="local")
    pipeline.raw.put(SpendEntry.of(ended).key, BODY, Always())
    client = client_for(pipeline, watch)
    told, others = (
        read(client, headers={"Authorization": f"Bearer {tenant}"})
        for tenant in ("default", "acme")
    )
    names = ("limit_usd", "spent_usd", "used_usd", "used_share")
    assert [told[f"ryla_budget_{name}.total."] for name in names] == [2, 0.5, 0.5, 0.25]
    assert [told[f"ryla_budget_{name}.each.acme"] for name in names] == [1, 0.5, 0.5, 0.5]
    assert not [name for name in others if "budget" in name]
    pipeline.raw.calls.clear()
    watch.now += FRESH_S
    read(client, headers={"Authorization": "Bearer default"})
    assert pipeline.raw.calls["LIST"] == 4, "spend/ is listed once a minute"
