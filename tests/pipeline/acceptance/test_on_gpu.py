from pathlib import Path

import pytest

from config.errors import IdConflict
from pipeline.acceptance.estimate import Order, ready
from pipeline.acceptance.jobs import gpu_jobs
from pipeline.acceptance.on_gpu import place
from pipeline.contract.keys import manifest_key
from pipeline.store.base import Always
from tests.support.acceptances import SMALL, plan
from tests.support.world import BENCH, World
from tests.support.yard import Yard

GPU = "A100-80GB"


@pytest.fixture
def order() -> Order:
    part = {"input": SMALL}
    return ready(gpu_jobs(plan(gpus=part), "r", [GPU]), Path(), "default", BENCH)[0]


def test_any_dispatcher_spawns_it_on_that_gpu(holding: Yard, order: Order) -> None:
    place(holding.store, order.prepared, GPU)

    report = holding.tick()

    assert (report.taken_over, report.spawned, report.claimed) == (1, 1, 0)
    ref = holding.held.refs[0]
    assert (ref.id, ref.gpu, ref.model) == ("r-gpu-a100-80gb-01", GPU, "flux-dev")
    assert holding.lease(ref.id).attempt == 1


def test_placed_twice_it_runs_once(yard: Yard, order: Order) -> None:
    place(yard.store, order.prepared, GPU)
    yard.tick()
    place(yard.store, order.prepared, GPU)
    yard.tick()

    assert yard.result(order.job.id).attempt == 1
    assert yard.keys("leases/") == []


def test_a_start_that_broke_off_after_the_manifest_is_gone_on_with(
    yard: Yard, order: Order
) -> None:
    yard.store.create(manifest_key(order.job.id), order.prepared.body)
    place(yard.store, order.prepared, GPU)
    yard.tick()

    assert yard.result(order.job.id).status == "succeeded"


def test_the_id_of_another_job_is_refused(yard: Yard, order: Order) -> None:
    yard.store.create(manifest_key(order.job.id), b"{}")

    with pytest.raises(IdConflict):
        place(yard.store, order.prepared, GPU)


def test_the_protocol_holds_when_it_is_submitted_as_well(order: Order) -> None:
    world = World()
    place(world.process(), order.prepared, GPU)
    world.bucket.put(order.prepared.key, order.prepared.body, Always())

    world.run_until_quiet(dispatchers=2, executions=2)

    assert list(world.sink.events)
    assert world.bucket.has(f"jobs/{order.job.id}/result.json")
    world.close()
