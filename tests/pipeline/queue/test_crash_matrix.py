"""Every call of every process goes wrong once, in every way, on the way from manifest to result.

The dispatcher, the execution, the commit and the delivery are the real ones; only the pictures are
at hand. The bucket itself checks what must hold at every moment (tests/support/simulation.py).
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from config.errors import ComfyDied
from pipeline.contract.keys import inbox_key, lease_key, metrics_key, result_key
from pipeline.contract.result import Metrics, Result, Status
from pipeline.queue.spawn import SpawnPayload
from tests.support.faulty_store import Fault
from tests.support.jobs import a_lease
from tests.support.manifests import body
from tests.support.simulation import Simulation

KEY = inbox_key("job", priority=5, tenant="acme", model="flux-dev")
BODY = body(tenant="acme")
OTHER = body("another cat", tenant="acme")


def quietly(simulation: Simulation, payload: SpawnPayload) -> None:
    """Nothing happens in the middle of an execution."""


class Twice:
    """The platform runs the first input again while it runs."""

    def __init__(self) -> None:
        self.done = False

    def __call__(self, simulation: Simulation, payload: SpawnPayload) -> None:
        if not self.done:
            self.done = True
            simulation.execute(payload)


class FailingOnce:
    def __init__(self) -> None:
        self.failed = False

    def __call__(self, simulation: Simulation, payload: SpawnPayload) -> None:
        if not self.failed:
            self.failed = True
            raise ComfyDied("it died")


class Slow:
    """The lease lapses in the middle of the first execution, and another dispatcher has the job
    executed."""

    def __init__(self) -> None:
        self.done = False

    def __call__(self, simulation: Simulation, payload: SpawnPayload) -> None:
        if not self.done:
            self.done = True
            simulation.pass_time(40)
            simulation.tick(1)
            for again in simulation.engine.take():
                simulation.execute(again)


class PutAgain:
    """The producer puts the same id again, under another key, in the middle of the execution."""

    def __init__(self, manifest: bytes) -> None:
        self.manifest = manifest

    def __call__(self, simulation: Simulation, payload: SpawnPayload) -> None:
        simulation.submit("inbox/job.json", self.manifest)
        simulation.tick(1)


@dataclass(frozen=True)
class Case:
    manifest: bytes = BODY
    before: Callable[[], Callable[[Simulation, SpawnPayload], None]] = lambda: quietly
    dispatchers: int = 1
    executions: int = 1
    sink_failures: int = 0
    events: tuple[str, ...] = ("requested", "completed")
    status: Status = Status.SUCCEEDED
    spawns: int = 1
    rejected: int = 0


CASES = {
    "one job": Case(),
    "two dispatchers": Case(dispatchers=2),
    "executed twice in a row": Case(executions=2),
    "executed twice at once": Case(before=Twice),
    "superseded": Case(before=Slow, spawns=2),
    "retried": Case(before=FailingOnce, spawns=2),
    "events not taken": Case(sink_failures=2),
    "refused": Case(
        manifest=b'{"version":1,"model":"flux-dev","tenant":"acme"}',
        events=("requested", "failed"),
        status=Status.REJECTED,
        spawns=0,
    ),
    "a duplicate": Case(before=lambda: PutAgain(BODY)),
    "another body": Case(before=lambda: PutAgain(OTHER), rejected=1),
}


def run(case: Case, fault: Fault | None = None, at: int = -1) -> Simulation:
    simulation = Simulation(
        fault=fault, at=at, before=case.before(), sink_failures=case.sink_failures
    )
    try:
        simulation.submit(KEY, case.manifest)
        simulation.run_until_quiet(dispatchers=case.dispatchers, executions=case.executions)
    finally:
        simulation.close()
    return simulation


def the_result(simulation: Simulation) -> Result:
    stored = simulation.bucket.get(result_key("job"))
    assert stored is not None
    result = Result.parse(stored.body)
    assert result is not None
    return result


def check(case: Case, simulation: Simulation) -> None:
    result = the_result(simulation)
    assert result.status is case.status
    for output in result.outputs:
        stored = simulation.bucket.get(output.key)
        assert stored is not None
        assert f"/out/a{result.attempt}/" in output.key
        assert len(stored.body) == output.bytes
        assert hashlib.sha256(stored.body).hexdigest() == output.sha256
    metrics = simulation.bucket.get(metrics_key("job", result.attempt))
    if result.metrics is not None:
        assert metrics is not None
        assert Metrics.model_validate_json(metrics.body) == result.metrics
    sent = sorted(simulation.sink.events.values(), key=lambda event: event.timestamp)
    ends = [
        event.event.rpartition("_")[2] for event in sent if event.event != "modal_manifest_rejected"
    ]
    assert sorted(ends) == sorted(case.events)
    owed = {event.uuid for event in result.events}
    assert owed <= simulation.sink.events.keys()


@pytest.mark.parametrize("name", CASES)
def test_without_a_fault_nothing_is_done_twice(name: str) -> None:
    case = CASES[name]
    simulation = run(case)
    check(case, simulation)
    assert simulation.engine.spawned == case.spawns
    assert len(simulation.bucket.bodies("rejected/")) == case.rejected


@pytest.mark.parametrize("fault", Fault)
@pytest.mark.parametrize("name", CASES)
def test_each_call_may_go_wrong(name: str, fault: Fault) -> None:
    case = CASES[name]
    calls = run(case).calls
    assert calls > 5
    for at in range(calls):
        try:
            check(case, run(case, fault, at))
        except BaseException as error:
            error.add_note(f"{fault} at call {at} of {calls}")
            raise


def test_a_job_is_claimed_over_a_vacant_lease() -> None:
    simulation = Simulation()
    vacant = a_lease(entry="inbox/job.json").vacated()
    simulation.submit(lease_key("job"), vacant.body())
    simulation.tick()
    assert simulation.bucket.bodies("leases/") == [vacant.body()]
    simulation.pass_time(30)  # a lease of another dispatcher is read when it is old enough
    simulation.submit(KEY, BODY)
    simulation.run_until_quiet()
    check(Case(), simulation)
    assert the_result(simulation).attempt == 1
    simulation.close()
