"""The workers of a route, by scripts in their place that answer or die as they are told."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from config.errors import EngineUnavailable
from config.routes import load_routes
from config.settings import Settings
from pipeline.engines import local_crew
from pipeline.engines.card_places import CardPlaces
from pipeline.engines.local import LocalEngine
from pipeline.engines.local_crew import Crew, Order
from pipeline.engines.machine import unbounded
from pipeline.engines.own_machine import own_machine
from pipeline.loras.eviction import LoraEviction
from pipeline.queue.spawn import SpawnPayload
from pipeline.runtime import load_runtime
from system.backoff import Backoff
from tests.pipeline.engines.conftest import payload
from tests.support.stack import wait_until

READY = """echo '{"ready": true, "error": null}'"""
ANSWERS = """while read -r order; do echo '{"ending": "%s", "fit": true}'; done"""


@pytest.fixture
def workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Has workers be a script of these lines."""
    script = tmp_path / "worker"

    def workers(*lines: str) -> Path:
        new = tmp_path / "new"
        new.write_text("\n".join(("#!/bin/sh", *lines)))
        new.chmod(0o700)
        new.replace(script)
        monkeypatch.setattr(sys, "executable", str(script))
        return script

    return workers


@contextmanager
def a_crew(folder: Path, lost: list[str]) -> Iterator[Crew]:
    settings = Settings(state_dir=folder)

    def lose(payload: SpawnPayload) -> None:
        lost.append(payload.id)

    places = CardPlaces(unbounded((), ["Flux"], 1), 300)
    crew = Crew(load_routes().route("Flux"), settings, {}, LoraEviction.of(settings), lose, places)
    try:
        yield crew
    finally:
        crew.close()


@contextmanager
def an_engine(folder: Path, **settings: Any) -> Iterator[LocalEngine]:
    runtime = load_runtime(Settings(state_dir=folder, **settings), "local")
    engine = LocalEngine(runtime.settings, runtime.routes, {}, machine=own_machine(runtime, {}))
    try:
        yield engine
    finally:
        engine.close()


def an_order(id: str) -> Order:
    return Order(id, payload(id), 0.0)


def test_the_job_of_a_worker_that_dies_over_it_is_lost_at_once(
    workers: Callable[..., Path], tmp_path: Path
) -> None:
    workers(READY, "read -r order", "exit 1")
    lost: list[str] = []
    with a_crew(tmp_path, lost) as crew:
        crew.put(an_order("job-1"))
        assert wait_until(lambda: lost == ["job-1"], 30)
        crew.put(an_order("job-2"))
        assert wait_until(lambda: lost == ["job-1", "job-2"], 30)
        assert crew.close() == [], "nothing is left of either"


def test_a_job_that_its_worker_could_not_begin_is_lost_and_one_that_ended_is_not(
    workers: Callable[..., Path], tmp_path: Path
) -> None:
    workers(READY, ANSWERS % "error")
    lost: list[str] = []
    with a_crew(tmp_path, lost) as crew:
        crew.put(an_order("job-1"))
        assert wait_until(lambda: lost, 30)
    workers(READY, ANSWERS % "committed")
    with a_crew(tmp_path, lost) as crew:
        crew.put(an_order("job-2"))
        assert wait_until(lambda: crew._idle and not crew._held, 30)
    assert lost == ["job-1"]


def test_what_waits_for_workers_that_do_not_start_is_lost_once_and_one_is_tried_on(
    workers: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local_crew, "FAILURES", 2)
    monkeypatch.setattr(local_crew, "BACKOFF", Backoff(0.01, 0.01))
    starts = tmp_path / "starts"
    workers(
        f"echo start >> {starts}", f"[ -e {tmp_path}/mended ] || exit 1", READY, ANSWERS % "stale"
    )
    lost: list[str] = []
    with a_crew(tmp_path, lost) as crew:
        crew.put(an_order("job-1"))
        crew.put(an_order("job-2"))
        assert wait_until(lambda: starts.exists() and len(starts.read_text().split()) > 3, 30)
        with pytest.raises(EngineUnavailable, match="do not start"):
            crew.put(an_order("job-3"))
        assert sorted(lost) == ["job-1", "job-2"]
        (tmp_path / "mended").touch()
        assert wait_until(lambda: crew._idle, 30)
        crew.put(an_order("job-4"))
        assert wait_until(lambda: not crew._orders and not crew._held, 30)
    assert sorted(lost) == ["job-1", "job-2"]


def test_a_worker_that_cannot_even_be_spawned_is_tried_again(
    workers: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local_crew, "FAILURES", 2)
    monkeypatch.setattr(local_crew, "BACKOFF", Backoff(0.01, 0.01))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "none"))
    lost: list[str] = []
    with a_crew(tmp_path, lost) as crew:
        crew.put(an_order("job-1"))
        assert wait_until(lambda: lost == ["job-1"], 30)
        workers(READY, ANSWERS % "committed")
        assert wait_until(lambda: crew._idle, 30)
        crew.put(an_order("job-2"))
        assert wait_until(lambda: crew._idle and not crew._held, 30)
    assert lost == ["job-1"]


def test_what_a_worker_was_being_started_for_is_left_when_the_crew_closes(
    workers: Callable[..., Path], tmp_path: Path
) -> None:
    workers("read -r order")
    lost: list[str] = []
    with a_crew(tmp_path, lost) as crew:
        crew.put(an_order("job-1"))
        assert wait_until(crew.pids, 30)
        assert [each.id for each in crew.close()] == ["job-1"]
    assert not lost


def lines(file: Path) -> list[str]:
    return sorted(file.read_text().splitlines()) if file.exists() else []


def test_a_small_route_runs_on_both_gpus_and_a_large_one_on_the_large_alone(
    workers: Callable[..., Path], tmp_path: Path
) -> None:
    seen = tmp_path / "seen"
    workers(
        f'echo "$3 $CUDA_VISIBLE_DEVICES $CUDA_DEVICE_ORDER $RYLA_GPU_RESERVE_GIB" >> {seen}',
        READY,
        "read -r order",
        "read -r end",
    )
    with an_engine(tmp_path, gpus="0,3", gpu_memory_gib="16,80") as engine:
        for number in range(3):
            engine.submit("InstantId", payload(f"small-{number}"))
            engine.submit("Flux", payload(f"large-{number}"))
        assert wait_until(lambda: len(lines(seen)) == 3, 30)
        on = [line.rpartition(" ") for line in lines(seen)]
        assert [where for where, _, _ in on] == [
            "Flux 3 PCI_BUS_ID",
            "InstantId 0 PCI_BUS_ID",
            "InstantId 3 PCI_BUS_ID",
        ]
        reserve_gib = [float(gib) for _, _, gib in on]
        assert reserve_gib[1] == 0, "nobody else fits there"
        assert 0 < reserve_gib[0] < reserve_gib[2], "what others may take beside each"
        assert wait_until(lambda: len(engine.pids()) == 3)


def test_a_route_that_fits_no_gpu_is_an_engine_that_is_away(tmp_path: Path) -> None:
    with an_engine(tmp_path, gpu_memory_gib="16") as engine:
        with pytest.raises(EngineUnavailable, match="ZImage is not served") as error:
            engine.submit("ZImage", payload("job-1"))
        assert "larger GPU" in (error.value.hint or "")


def test_routes_that_do_not_fit_beside_each_other_take_turns(
    workers: Callable[..., Path], tmp_path: Path
) -> None:
    seen = tmp_path / "seen"
    workers(f'echo "$3" >> {seen}', READY, ANSWERS % "committed")
    with an_engine(tmp_path, gpu_memory_gib="45") as engine:
        engine.submit("Flux", payload("job-1"))
        assert wait_until(lambda: lines(seen) == ["Flux"], 30)
        engine.submit("InstantId", payload("job-2"))
        assert wait_until(lambda: lines(seen) == ["Flux", "InstantId"], 30)
        engine.submit("ZImage", payload("job-3"))
        assert wait_until(lambda: "ZImage" in lines(seen), 30)
        assert wait_until(lambda: len(engine.pids()) == 2, 30), "these two fit"
        engine.submit("Flux", payload("job-4"))
        assert wait_until(lambda: lines(seen).count("Flux") == 2, 30)
        assert wait_until(lambda: len(engine.pids()) == 1, 30)
