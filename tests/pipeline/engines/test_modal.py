import json
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from types import SimpleNamespace
from typing import Any

import modal
import pytest

from config.errors import EngineUnavailable
from config.settings import Settings
from pipeline.engines.modal import ModalAccount, ModalEngine
from pipeline.queue.spawn import SpawnPayload
from tests.pipeline.engines.conftest import Account, payload
from tests.support.stack import wait_until

pytestmark = pytest.mark.xdist_group("modal-engine")


def noted(account: Account, id: str) -> Any:
    file = account.diary / f"{id}.json"
    assert wait_until(file.exists), account.plane.log()
    assert wait_until(file.read_text)
    return json.loads(file.read_text())


def test_the_class_of_the_route_gets_the_reference_and_a_call_of_its_own(account: Account) -> None:
    account.engine.submit("Flux", payload("job-1"))
    got = noted(account, "job-1")
    assert SpawnPayload.model_validate(got["payload"]) == payload("job-1")
    assert got["call_id"].startswith("fc-")


def test_many_threads_may_submit_at_once(account: Account) -> None:
    ids = [f"many-{number}" for number in range(6)]
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda id: account.engine.submit("Flux", payload(id)), ids))
    calls = {noted(account, id)["call_id"] for id in ids}
    assert len(calls) == len(ids)


def test_a_job_that_needs_a_certain_gpu_gets_containers_with_that_one(account: Account) -> None:
    account.engine.submit("Flux", payload("large", gpu="H100"))
    noted(account, "large")
    assert account.plane.deliveries("Flux")[-1].function.gpus == ("H100",)


def test_a_route_that_is_not_deployed_is_an_engine_that_is_away(account: Account) -> None:
    with pytest.raises(EngineUnavailable, match=r"routes\.InstantId"):
        account.engine.submit("InstantId", payload("job-2"))


def test_an_app_that_is_not_deployed_is_an_engine_that_is_away(account: Account) -> None:
    with pytest.raises(EngineUnavailable) as caught:
        ModalEngine(Settings(modal_app="elsewhere")).submit("Flux", payload("job-2"))
    assert caught.value.retryable
    assert "ryla deploy" in str(caught.value.hint)


def test_a_spawn_that_nobody_answers_holds_up_no_tick() -> None:
    answered = Event()
    route = SimpleNamespace(run=SimpleNamespace(spawn=lambda _: answered.wait(30)))
    engine = ModalEngine(Settings(), spawn_s=0.05)
    engine._handle = lambda *_: route
    try:
        with pytest.raises(EngineUnavailable, match=r"no answer within 0\.05 s"):
            engine.submit("Flux", payload("job-2"))
    finally:
        answered.set()


def test_after_a_failed_spawn_the_class_is_looked_up_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """A deploy may have put another one in its place, or none."""
    looked_up: list[str] = []

    def spawn(_: object) -> object:
        if len(looked_up) == 1:
            raise modal.exception.NotFoundError("no such function")
        return SimpleNamespace(object_id="fc-1")

    def from_name(app: str, name: str, **_: object) -> object:
        looked_up.append(name)
        return lambda: SimpleNamespace(run=SimpleNamespace(spawn=spawn))

    monkeypatch.setattr(modal.Cls, "from_name", from_name)
    engine = ModalEngine(Settings())
    with pytest.raises(EngineUnavailable):
        engine.submit("Flux", payload("job-2"))
    for _ in range(2):
        engine.submit("Flux", payload("job-2"))
    assert looked_up == ["Flux", "Flux"]


def test_a_cancel_of_a_call_that_is_over_is_nothing(account: Account) -> None:
    account.engine.submit("Flux", payload("over"))
    account.engine.cancel(noted(account, "over")["call_id"])


def test_a_secret_tells_which_keys_it_lacks(account: Account) -> None:
    told = ModalAccount(None)
    told.reach()
    assert told.lacks("routes", ["DIARY"]) == ()
    assert told.lacks("routes", ["DIARY", "PEN", "INK"]) == ("PEN", "INK")
    assert told.lacks("nothing", ["PEN"]) is None


def test_a_volume_is_there_or_not_or_of_another_version(account: Account) -> None:
    told = ModalAccount(None)
    assert not told.has_volume("ryla-models", 2)
    made = account.plane.cli("volume", "create", "old", "--version", "1", cwd=account.diary)
    assert made.returncode == 0, made.stderr
    with pytest.raises(EngineUnavailable, match="version"):
        told.has_volume("old", 2)
    assert told.has_volume("old", 1)
