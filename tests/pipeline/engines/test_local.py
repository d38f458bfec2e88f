import os
import shutil
import signal
import sys
import time
from datetime import timedelta
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from config.errors import EngineUnavailable
from config.routes import load_routes
from config.settings import Settings
from pipeline.contract.lease import Phase
from pipeline.contract.result import Status
from pipeline.dispatcher.hand_back import hand_back
from pipeline.dispatcher.tick import tick
from pipeline.engines import local_crew
from pipeline.engines.card_places import CardPlaces
from pipeline.engines.local import LocalEngine
from pipeline.engines.local_crew import Crew, Order
from pipeline.engines.machine import Machine
from pipeline.loras.eviction import LoraEviction
from pipeline.queue.spawn import left_to_lapse, make_payload
from tests.support.jobs import a_lease
from tests.support.pipeline_fixture import NOON
from tests.support.processes import is_alive
from tests.support.stack import Stack, quick, running, wait_until


@pytest.mark.thorough
def test_a_stop_hands_the_running_job_back(bucket: Settings) -> None:
    with running(quick(bucket, max_attempts=3)) as stack:
        stack.submit("job-1", "[[fault:slow=20]]", input={"steps": 50})
        stack.wait_running("job-1")
    lease = stack.lease("job-1")
    assert stack.find_result("job-1") is None
    assert lease is not None
    assert (lease.phase, lease.attempt) == (Phase.RETRY, 1)
    assert lease.error is not None
    assert lease.error.code == "interrupted"
    assert stack.engine.pids() == ()


@pytest.mark.thorough
def test_an_idle_worker_is_unloaded_and_the_next_job_gets_a_new_one(bucket: Settings) -> None:
    """Also when that job comes while the old one goes: the two are not to be mistaken."""
    with running(quick(bucket), idle_s=0.01) as stack:
        for id in ("first", "second"):
            stack.submit(id)
            result = stack.result(id)
            assert (result.status, result.attempt) == (Status.SUCCEEDED, 1)
            assert result.metrics is not None
            assert result.metrics.cold
            assert result.metrics.start > 0
        assert wait_until(lambda: stack.engine.pids() == ())


@pytest.mark.thorough
def test_a_worker_that_is_killed_idle_or_before_it_began_its_job_is_replaced_at_once(
    bucket: Settings,
) -> None:
    with running(quick(bucket, spawned_seconds=900)) as stack:
        stack.submit("first")
        stack.result("first")
        (worker,) = stack.engine.pids()
        (crew,) = stack.engine._crews.values()
        assert wait_until(lambda: not crew._held)  # it has answered, and is idle
        os.kill(worker, signal.SIGKILL)
        assert wait_until(lambda: not is_alive(worker))
        stack.submit("second")
        result = stack.result("second")
        assert (result.status, result.attempt) == (Status.SUCCEEDED, 1)
        (another,) = stack.engine.pids()
        assert another != worker
        assert wait_until(lambda: not crew._held)
        os.kill(another, signal.SIGSTOP)
        stack.submit("third")
        assert wait_until(lambda: crew._held, 30)
        os.kill(another, signal.SIGKILL)
        result = stack.result("third", 60)
        assert (result.status, result.attempt) == (Status.SUCCEEDED, 2)


@pytest.mark.thorough
def test_a_route_whose_workers_do_not_start_takes_no_more_jobs(
    bucket: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local_crew, "FAILURES", 1)
    settings = quick(bucket, spawned_seconds=1, max_attempts=20)
    with running(settings) as stack:
        monkeypatch.setattr(sys, "executable", str(shutil.which("false")))
        stack.submit("job-1")

        def handed_back() -> bool:
            lease = stack.lease("job-1")
            return lease is not None and lease.error is not None

        assert wait_until(handed_back, 30)
        lease = stack.lease("job-1")
        assert lease is not None
        assert lease.error is not None
        assert lease.error.code == "engine_unavailable"
        assert "workers" in (lease.error.hint or "")


@pytest.mark.parametrize("jobs", [1, pytest.param(2, marks=pytest.mark.thorough)])
def test_jobs_end_with_the_reason_where_comfyui_cannot_start(
    tmp_path: Path, bucket: Settings, jobs: int
) -> None:
    broken = tmp_path / "comfyui"
    broken.mkdir()
    (broken / "main.py").write_text("raise SystemExit('no weights here')")
    settings = quick(bucket, comfyui_dir=broken, main_memory_gib=500, max_attempts=1)
    with running(settings) as stack, capture_logs() as logs:
        for number in range(jobs):
            stack.submit(f"job-{number}")
        errors = [stack.result(f"job-{number}", 60).error for number in range(jobs)]
    for error in errors:
        assert error is not None
        assert error.code == "comfyui_died"
        assert "no weights here" in "".join(error.log_tail)
    told = [each for each in logs if each["event"] == "comfyui_not_started"]
    assert told, "whoever looks at the console is told at once"


def test_what_no_worker_began_is_due_at_once_when_the_engine_is_closed(bucket: Settings) -> None:
    """An orderly restart strands nothing: the next dispatcher need not wait for the lease."""
    stack = Stack(quick(bucket, local_workers=1))
    for number in range(4):
        stack.submit(f"job-{number}")
    tick(stack.dispatcher)
    unstarted = stack.engine.close()
    assert unstarted
    back = hand_back(stack.dispatcher.store, unstarted)
    waiting = [stack.lease(payload.id) for payload in unstarted]
    due = [lease for lease in waiting if lease is not None and lease.phase is Phase.RETRY]
    assert len(due) >= back >= 1
    assert {lease.failures for lease in due} == {0}
    hand_back(stack.dispatcher.store, unstarted)
    again = [stack.lease(payload.id) for payload in unstarted]
    assert again == waiting, "each holds for its own claim alone"
    stack.sender.close(1)
    stack.pool.shutdown()


def order(
    id: str, priority: int, waited_s: float, put_at: float, yielded_s: float | None = None
) -> Order:
    """Of a job that had waited so long when it was claimed, or so long since it yielded."""
    key = f"inbox/{9 - priority}.acme.flux-dev.{id}.json"
    yielded = None if yielded_s is None else NOON - timedelta(seconds=yielded_s)
    submitted = NOON - timedelta(seconds=waited_s)
    lease = a_lease(id=id, entry=key, submitted_at=submitted, yielded_at=yielded)
    return Order(id, make_payload(lease, "etag", "flux-dev", b"{}", NOON), put_at)


def test_what_waits_for_a_worker_ages_as_it_did_in_the_inbox(tmp_path: Path) -> None:
    """Else every nine that is claimed later would pass it here again."""
    settings = Settings(state_dir=tmp_path, aging_seconds=300)
    places = CardPlaces(Machine(()), 300)  # no worker takes them away
    flux, loras = load_routes().route("Flux"), LoraEviction.of(settings)
    crew = Crew(flux, settings, {}, loras, left_to_lapse, places)
    now = time.monotonic()
    for each in (
        order("nine", 9, 1, now),
        order("aged", 5, 1300, now),
        order("aged-here", 5, 900, now - 400),
        order("eight", 8, 1, now),
        order("five", 5, 2, now),
        order("older-five", 5, 3, now),
        order("yielded", 5, 2000, now, yielded_s=1),
    ):
        crew.put(each)
    taken = [crew._next(0, idle_s=0) for _ in range(8)]
    assert [each and each.call_id for each in taken] == [
        "aged",
        "aged-here",
        "nine",
        "eight",
        "older-five",
        "five",
        "yielded",
        None,
    ]


def test_a_route_that_is_in_no_table_is_an_engine_that_is_away(tmp_path: Path) -> None:
    engine = LocalEngine(Settings(state_dir=tmp_path), load_routes(), {})
    with pytest.raises(EngineUnavailable, match="no route FluxBig"):
        engine.submit("FluxBig", order("job", 5, 0, 0).payload)
    engine.close()


def test_a_closed_engine_takes_nothing(bucket: Settings) -> None:
    stack = Stack(quick(bucket))
    stack.engine.close()
    stack.submit("job-1")
    assert tick(stack.dispatcher).failed == 1
    lease = stack.lease("job-1")
    assert lease is not None
    assert (lease.phase, lease.attempt) == (Phase.RETRY, 1)
    stack.sender.close(1)
    stack.pool.shutdown()
