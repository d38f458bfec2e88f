"""What every engine keeps to. That its workers run a job to its end is told elsewhere: of the local
one in test_local.py, of Modal's in tests/deployed."""

import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from config.errors import EngineUnavailable
from config.routes import load_routes
from config.settings import Settings
from pipeline.dispatcher.engine import Engine
from pipeline.engines.local import LocalEngine
from pipeline.engines.modal import ModalEngine
from pipeline.engines.runpod import RunpodEngine
from tests.pipeline.engines.conftest import Account, payload

pytestmark = pytest.mark.xdist_group("modal-engine")


def local(state_dir: Path) -> LocalEngine:
    return LocalEngine(Settings(state_dir=state_dir), load_routes(), os.environ)


RUNPOD = Settings.model_validate(
    {"runpod_url": "http://127.0.0.1:9", "runpod_api_key": "key", "runpod_endpoints": "Flux=abc123"}
)
"""Nobody listens there."""


@pytest.fixture(params=["local", "modal", "runpod"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    if request.param == "runpod":
        with closing(RunpodEngine(RUNPOD, load_routes())) as made_there:
            yield made_there
    elif request.param == "modal":
        account: Account = request.getfixturevalue("account")
        yield account.engine
    else:
        made = local(tmp_path)
        yield made
        made.close()


@pytest.fixture(params=["local", "modal", "runpod"])
def away(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    """One that can start nothing: it was closed, its app is not deployed, or nobody answers."""
    if request.param == "runpod":
        with closing(RunpodEngine(RUNPOD, load_routes())) as unheard:
            yield unheard
    elif request.param == "modal":
        request.getfixturevalue("account")
        yield ModalEngine(Settings(modal_app="elsewhere"))
    else:
        made = local(tmp_path)
        made.close()
        yield made


def test_an_engine_that_can_start_nothing_says_so_and_another_try_may_help(away: Engine) -> None:
    with pytest.raises(EngineUnavailable) as caught:
        away.submit("Flux", payload("job-1"))
    assert caught.value.retryable


def test_it_says_so_each_time(away: Engine) -> None:
    for _ in range(2):
        with pytest.raises(EngineUnavailable):
            away.submit("Flux", payload("job-1"))


@pytest.mark.parametrize("call_id", ["fc-unknown", "", "0f"])
def test_a_cancel_of_a_call_that_nobody_knows_is_nothing(engine: Engine, call_id: str) -> None:
    engine.cancel(call_id)
