import json
import os
import signal
import socket
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from config.errors import InvalidSetting, StoreUnavailable
from config.settings import Settings, changed
from pipeline.jobs.status import look_up
from pipeline.local.stack import LocalStack
from pipeline.local.state_folder import STACK_FILE, left_over, try_lock
from pipeline.store.conditional import SafeStore
from pipeline.store.open import open_store
from tests.support.commands import next_document, start_ryla

SETTINGS = Settings(poll_active_seconds=0.2, poll_idle_seconds=0.5)
MANIFEST = json.dumps(
    {
        "version": 1,
        "model": "flux-schnell",
        "input": {"prompt": "a pebble", "width": 256, "height": 256, "steps": 1},
    }
).encode()


def a_stack(folder: Path, settings: Settings = SETTINGS) -> LocalStack:
    return LocalStack(folder, settings, os.environ)


def until(true: Callable[[], bool], within_s: float = 30.0) -> None:
    end = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < end, "it did not become true in time"
        time.sleep(0.05)


def published(folder: Path) -> dict[str, str]:
    values: dict[str, str] = json.loads((folder / STACK_FILE).read_text())
    return values


def store_of(folder: Path) -> SafeStore:
    """As another process would open it."""
    assert not left_over(folder)
    return open_store(Settings.model_validate(published(folder)))


def finished(store: SafeStore, id: str) -> bool:
    return look_up(store, [id])[id].finished


def listens(endpoint: str) -> bool:
    address = urlsplit(endpoint)
    with socket.socket() as probe:
        return probe.connect_ex((address.hostname, address.port)) == 0


@pytest.mark.thorough
def test_a_job_from_another_process_is_done_and_there_after_a_restart(tmp_path: Path) -> None:
    with a_stack(tmp_path) as stack:
        assert stack.settings.events_file == tmp_path / "events.jsonl"
        store = store_of(tmp_path)
        store.create("inbox/pebble.json", MANIFEST)
        until(lambda: finished(store, "pebble"))
        assert stat.S_IMODE((tmp_path / STACK_FILE).stat().st_mode) == 0o600

    assert not (tmp_path / STACK_FILE).exists()
    with a_stack(tmp_path):
        assert look_up(store_of(tmp_path), ["pebble"])["pebble"].succeeded


@pytest.mark.thorough
def test_a_second_stack_over_the_folder_is_told_who_has_it(tmp_path: Path) -> None:
    with a_stack(tmp_path) as first:
        with pytest.raises(InvalidSetting, match=f"process {os.getpid()} ") as error:
            a_stack(tmp_path).start()

        assert error.value.hint
        first.check()


@pytest.mark.thorough
def test_a_start_that_fails_leaves_nothing_running(tmp_path: Path) -> None:
    broken = changed(SETTINGS, models_file=tmp_path / "is-not-there.toml")

    with pytest.raises(InvalidSetting):
        a_stack(tmp_path / "state", broken).start()

    assert not (tmp_path / "state" / STACK_FILE).exists()
    for lock in (tmp_path / "state" / "lock", tmp_path / "state" / "store" / "server.lock"):
        with open(lock) as file:
            assert try_lock(file.fileno())


@pytest.mark.thorough
def test_a_store_that_ended_is_told_by_the_next_check(tmp_path: Path) -> None:
    with a_stack(tmp_path) as stack:
        stack._server.kill()

        with pytest.raises(StoreUnavailable, match="ended"):
            stack.check()


def test_up_tells_where_it_is_and_ends_with_sigterm(tmp_path: Path) -> None:
    with start_ryla("up", "--state-dir", "state", "--port", "0", "--json", cwd=tmp_path) as process:
        try:
            said: Any = next_document(process)
            assert listens(said["endpoint_url"])
            assert httpx.get(f"{said['api_url']}/health").json()["status"] == "healthy"
            port = published(tmp_path / "state")["api_port"]
            assert said["api_url"].endswith(f":{port}")

            process.send_signal(signal.SIGTERM)
            _, errors = process.communicate(timeout=30)
        finally:
            process.kill()

    assert (process.returncode, errors) == (0, "")
    assert not listens(said["endpoint_url"])
    assert not (tmp_path / "state" / STACK_FILE).exists()


@pytest.mark.thorough
def test_what_a_killed_up_leaves_behind_ends_and_its_jobs_go_on(tmp_path: Path) -> None:
    state = tmp_path / "state"
    with start_ryla("up", "--state-dir", "state", "--port", "0", "--json", cwd=tmp_path) as process:
        said = next_document(process)
        store = store_of(state)
        for n in range(5):
            store.create(f"inbox/pebble-{n}.json", MANIFEST)
        until(lambda: not store.list("inbox/").entries)
        process.kill()
        process.communicate()

    until(lambda: not listens(said["endpoint_url"]))
    assert (state / STACK_FILE).exists()
    assert left_over(state)
    quick = changed(SETTINGS, running_seconds=2, renew_seconds=0.5, first_renew_seconds=0.5)
    with a_stack(state, quick) as stack:
        jobs = [f"pebble-{n}" for n in range(5)]
        until(lambda: all(v.succeeded for v in look_up(stack.store, jobs).values()), within_s=90)
