import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from config.errors import EngineUnavailable, InvalidSetting
from config.routes import RouteTable, load_routes
from config.settings import Settings
from pipeline.engines.engines import Engines, open_engines
from pipeline.queue.spawn import SpawnPayload
from tests.pipeline.engines.conftest import payload


class Noting:
    def __init__(self, call_id: str | None = "call-1") -> None:
        self.call_id = call_id
        self.given: list[str] = []
        self.cancelled: list[str] = []

    def submit(self, route: str, payload: SpawnPayload) -> str | None:
        self.given.append(payload.id)
        return self.call_id

    def cancel(self, call_id: str) -> None:
        self.cancelled.append(call_id)

    def close(self) -> Sequence[SpawnPayload]:
        return [payload(id) for id in self.given]


def on(platform: str | None, id: str = "job-1") -> SpawnPayload:
    return payload(id).model_copy(update={"platform": platform})


@pytest.fixture
def east() -> Noting:
    return Noting()


@pytest.fixture
def west() -> Noting:
    return Noting(call_id=None)


@pytest.fixture
def engines(east: Noting, west: Noting) -> Engines:
    return Engines({"east": east, "west": west}, "west")


def test_a_job_goes_to_the_platform_that_its_payload_names(
    engines: Engines, east: Noting, west: Noting
) -> None:
    assert engines.submit("Flux", on("east")) == "east:call-1"
    assert engines.submit("Flux", on("west", "job-2")) is None
    assert engines.submit("Flux", on(None, "job-3")) is None
    assert (east.given, west.given) == (["job-1"], ["job-2", "job-3"])


def test_a_platform_that_is_none_of_these_takes_no_job(engines: Engines) -> None:
    with pytest.raises(EngineUnavailable, match="north"):
        engines.submit("Flux", on("north"))


def test_a_call_is_cancelled_where_it_was_made(
    engines: Engines, east: Noting, west: Noting
) -> None:
    engines.cancel("east:call-1")
    assert (east.cancelled, west.cancelled) == (["call-1"], [])
    engines.cancel("fc-1")
    assert (east.cancelled, west.cancelled) == (["call-1", "fc-1"], ["fc-1"])


def test_what_nobody_started_is_given_back_by_all(engines: Engines) -> None:
    engines.submit("Flux", on("east"))
    engines.submit("Flux", on("west", "job-2"))
    assert [each.id for each in engines.close()] == ["job-1", "job-2"]


def routes(*platforms: str) -> RouteTable:
    table = load_routes()
    flux = table.route("Flux").model_copy(update={"platforms": platforms})
    return table.model_copy(update={"routes": {"Flux": flux}})


RUNPOD = {"runpod_api_key": "key", "runpod_endpoints": "Flux=abc123"}


@pytest.mark.parametrize(
    ("given", "opened"),
    [
        ({}, {"local"}),
        ({"platforms": "local, runpod", **RUNPOD}, {"local", "runpod"}),
        ({"engine": "runpod", **RUNPOD}, {"runpod"}),
        ({"engine": "modal", "platforms": "runpod", **RUNPOD}, {"modal", "runpod"}),
    ],
)
def test_those_that_the_settings_name_are_opened(
    tmp_path: Path, given: dict[str, Any], opened: set[str]
) -> None:
    settings = Settings.model_validate({"state_dir": tmp_path, **given})
    engines = open_engines(settings, routes(), os.environ)
    assert engines.platforms == opened
    assert engines.close() == []


def test_a_route_that_runs_elsewhere_is_named_at_the_start(tmp_path: Path) -> None:
    settings = Settings(state_dir=tmp_path)
    with pytest.raises(InvalidSetting, match="Flux runs on modal, runpod") as caught:
        open_engines(settings, routes("modal", "runpod"), os.environ)
    assert "RYLA_PLATFORMS=modal,runpod" in str(caught.value.hint)
    open_engines(settings, routes("modal", "local"), os.environ).close()


@pytest.mark.parametrize(("token", "opened"), [("", {"runpod"}), ("ak-1", {"modal", "runpod"})])
def test_who_has_no_token_of_modals_passes_over_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, token: str, opened: set[str]
) -> None:
    """Else each job that it claims would be an outage of Modal to all other dispatchers."""
    monkeypatch.setenv("MODAL_TOKEN_ID", token)
    monkeypatch.setenv("MODAL_TOKEN_SECRET", token)
    given = {"state_dir": tmp_path, "engine": "runpod", "platforms": "modal, runpod", **RUNPOD}
    settings = Settings.model_validate(given)
    engines = open_engines(settings, routes("modal", "runpod"), os.environ)
    assert engines.platforms == opened
    engines.close()
