from collections.abc import Iterator
from contextlib import closing
from threading import Thread
from typing import Any

import pytest

from config.errors import EngineUnavailable, InvalidSetting
from config.routes import load_routes
from config.settings import Settings
from pipeline.engines.runpod import EndpointApi, RunpodEngine
from pipeline.queue.spawn import SpawnPayload
from tests.pipeline.engines.conftest import payload
from tests.support.runpod_plane import KEY, RunpodPlane, runpod_plane

NAMED = "Flux=abc123, Flux@H100=def456,ZImage=away"


@pytest.fixture(scope="module")
def server() -> Iterator[RunpodPlane]:
    with runpod_plane("abc123", "def456") as plane:
        yield plane


@pytest.fixture
def plane(server: RunpodPlane) -> RunpodPlane:
    server.refuses, server.silent, server.garbled = None, False, None
    server.sent.clear()
    return server


def settings(plane: RunpodPlane, **changes: Any) -> Settings:
    given = {"runpod_url": plane.url, "runpod_api_key": KEY, "runpod_endpoints": NAMED, **changes}
    return Settings.model_validate(given)


class Engines:
    """Makes engines, and closes them."""

    def __init__(self) -> None:
        self.made: list[RunpodEngine] = []

    def __call__(self, plane: RunpodPlane, answer_s: float = 5.0, **changes: Any) -> RunpodEngine:
        self.made.append(RunpodEngine(settings(plane, **changes), load_routes(), answer_s=answer_s))
        return self.made[-1]


@pytest.fixture
def engine() -> Iterator[Engines]:
    made = Engines()
    yield made
    for each in made.made:
        each.close()


def test_the_endpoint_of_the_route_gets_the_payload(engine: Engines, plane: RunpodPlane) -> None:
    call = engine(plane).submit("Flux", payload("job-1"))
    (sent,) = plane.sent.values()
    assert SpawnPayload.model_validate(sent.input) == payload("job-1")
    assert call == f"abc123/{sent.id}"


def test_the_platform_ends_a_job_after_its_worker_did_and_forgets_it_after_its_claim(
    engine: Engines,
    plane: RunpodPlane,
) -> None:
    engine(plane).submit("Flux", payload("job-1"))
    (sent,) = plane.sent.values()
    assert sent.policy == {"executionTimeout": 660_000, "ttl": (900 + 660) * 1000}


def test_without_the_lease_the_claims_life_is_the_settings(
    engine: Engines, plane: RunpodPlane
) -> None:
    bare = payload("job-1").model_copy(update={"lease": None})
    engine(plane, spawned_seconds=300).submit("Flux", bare)
    (sent,) = plane.sent.values()
    assert sent.policy["ttl"] == (300 + 660) * 1000


@pytest.mark.parametrize(("gpu", "endpoint"), [("H100", "def456"), ("A100-80GB", "abc123")])
def test_a_larger_gpu_has_an_endpoint_of_its_own_or_the_routes_has_to_do(
    engine: Engines, plane: RunpodPlane, gpu: str, endpoint: str
) -> None:
    engine(plane).submit("Flux", payload("job-1", gpu=gpu))
    (sent,) = plane.sent.values()
    assert sent.endpoint == endpoint


def test_a_run_that_is_not_answered_is_an_engine_that_is_away_and_is_sent_once(
    engine: Engines,
    plane: RunpodPlane,
) -> None:
    plane.silent = True
    with pytest.raises(EngineUnavailable, match="does not answer"):
        engine(plane, answer_s=0.1).submit("Flux", payload("job-1"))
    assert len(plane.sent) == 1


@pytest.mark.parametrize(
    ("status", "hint"), [(429, "taken again later"), (500, None), (401, "RYLA_RUNPOD_API_KEY")]
)
def test_what_it_refuses_is_an_engine_that_is_away(
    engine: Engines, plane: RunpodPlane, status: int, hint: str | None
) -> None:
    plane.refuses = status
    with pytest.raises(EngineUnavailable, match=str(status)) as caught:
        engine(plane).submit("Flux", payload("job-1"))
    assert hint is None or hint in str(caught.value.hint)


@pytest.mark.parametrize(("route", "named"), [("ZImage", "404"), ("InstantId", "InstantId")])
def test_a_route_without_an_endpoint_is_an_engine_that_is_away(
    engine: Engines, plane: RunpodPlane, route: str, named: str
) -> None:
    with pytest.raises(EngineUnavailable, match=named):
        engine(plane).submit(route, payload("job-1"))


def test_a_server_that_is_not_there_is_an_engine_that_is_away(engine: Engines) -> None:
    with runpod_plane() as gone:
        away = engine(gone)
    with pytest.raises(EngineUnavailable):
        away.submit("Flux", payload("job-1"))


def test_a_cancel_reaches_the_job_and_one_that_nobody_knows_is_nothing(
    engine: Engines, plane: RunpodPlane
) -> None:
    made = engine(plane)
    call = made.submit("Flux", payload("job-1"))
    for each in (call, "abc123/unknown", "fc-123", "", "elsewhere/job", "away/job"):
        made.cancel(each)
    assert [each.cancelled for each in plane.sent.values()] == [True]


def test_many_threads_may_submit_at_once(engine: Engines, plane: RunpodPlane) -> None:
    made = engine(plane)
    threads = [
        Thread(target=made.submit, args=("Flux", payload(f"job-{number}"))) for number in range(6)
    ]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len(plane.sent) == 6


def test_health_tells_of_workers(plane: RunpodPlane) -> None:
    with closing(EndpointApi(settings(plane))) as api:
        assert api.health("abc123")["workers"] == {"idle": 1, "running": 0}


@pytest.mark.parametrize("body", [b"", b"[]", b"<html>", b"[" * 100_000, b"\xff"])
def test_an_answer_that_is_none_is_an_engine_that_is_away(
    engine: Engines, plane: RunpodPlane, body: bytes
) -> None:
    plane.garbled = body
    with pytest.raises(EngineUnavailable, match="no JSON object"):
        engine(plane).submit("Flux", payload("job-1"))
    assert len(plane.sent) == 1


@pytest.mark.parametrize("missing", ["runpod_api_key", "runpod_endpoints"])
def test_without_a_key_or_endpoints_there_is_no_engine(plane: RunpodPlane, missing: str) -> None:
    given = {
        name: value
        for name, value in settings(plane).model_dump(exclude_unset=True).items()
        if name != missing
    }
    with pytest.raises(InvalidSetting, match=missing.upper()):
        RunpodEngine(Settings.model_validate(given), load_routes())


@pytest.mark.parametrize(
    ("named", "value", "hint"),
    [
        ("Flx=abc123", "Flx", "Did you mean Flux?"),
        ("Flux=abc123,Flux@H10=def456", "H10", "Did you mean H100?"),
    ],
)
def test_an_endpoint_of_no_route_or_of_none_of_its_gpus_is_refused(
    engine: Engines, plane: RunpodPlane, named: str, value: str, hint: str
) -> None:
    with pytest.raises(InvalidSetting, match="RYLA_RUNPOD_ENDPOINTS") as caught:
        engine(plane, runpod_endpoints=named)
    assert (caught.value.value, caught.value.hint) == (value, hint)
