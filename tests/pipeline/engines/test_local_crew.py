"""The workers of a route, by scripts in their place that answer or die as they are told."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from config.errors import EngineUnavailable
from config.routes import load_routes
from config.settings import Settings
from pipeline.engines import local_crew
from pipeline.engines.local_crew import Crew, Order
from pipeline.loras.eviction import LoraEviction
from pipeline.queue.spawn import SpawnPayload
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

    crew = Crew(load_routes().route("Flux"), settings, {}, LoraEviction.of(settings), lose)
    try:
        yield crew
    finally:
        crew.close()


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
