import json
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import structlog
from typer.main import get_command
from typer.testing import CliRunner

from config.settings import PREFIX, Settings
from pipeline.cli.app import app
from pipeline.local.seaweed import SeaweedServer
from pipeline.store.conditional import SafeStore, listed
from pipeline.store.open import open_store
from tests.support.manifests import manifest
from tests.support.seaweed import fresh_bucket

MODELS_TABLE = """\
[weights.tiny]
folder = "checkpoints"
file = "tiny.safetensors"
family = "flux"
repository = "acme/tiny"
path = "tiny.safetensors"
licence = "acme-research"
terms = "not on Sundays"
commercial_use = false

[sets.tiny]
checkpoint = "tiny"
"""


@dataclass(frozen=True)
class Answer:
    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        return json.loads(self.out)

    @property
    def error(self) -> Any:
        """The last error, of a command that was asked for JSON."""
        return json.loads(self.err.splitlines()[-1])["error"]


Ryla = Callable[..., Answer]


@pytest.fixture(scope="session")
def shared_bucket(
    seaweed: SeaweedServer, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Settings, SafeStore]:
    """One for all of these tests: the first PUT into a new bucket takes half a second."""
    settings = fresh_bucket(seaweed, tmp_path_factory.mktemp("shared"))
    return settings, open_store(settings)


@pytest.fixture
def bucket(shared_bucket: tuple[Settings, SafeStore], tmp_path: Path) -> Iterator[Settings]:
    settings, store = shared_bucket
    yield settings.model_copy(update={"state_dir": tmp_path})
    for entry in listed(store, ""):
        store.delete(entry.key)


COMMAND_LINE = get_command(app)


@pytest.fixture
def bare_ryla(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Ryla]:
    """The command line, without any setting, in an empty folder."""
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object, **environ: str) -> Answer:
        words = [str(argument) for argument in arguments]
        with CliRunner().isolation(env=environ) as (out, err, _):
            with pytest.raises(SystemExit) as end:
                COMMAND_LINE.main(words, "ryla")
            sys.stdout.flush()
            sys.stderr.flush()
            said = [stream.getvalue().decode() for stream in (out, err)]
        assert isinstance(end.value.code, int)
        return Answer(end.value.code, *said)

    yield run
    structlog.reset_defaults()  # logs went to a stream of the runner's that is closed now


@pytest.fixture
def ryla(bare_ryla: Ryla, bucket: Settings) -> Ryla:
    """The command line with settings that name a fresh bucket."""
    settings = bucket.environ()
    del settings["RYLA_LOG_LEVEL"]
    return lambda *arguments, **environ: bare_ryla(*arguments, **{**settings, **environ})


@pytest.fixture
def store(bucket: Settings, shared_bucket: tuple[Settings, SafeStore]) -> SafeStore:
    return shared_bucket[1]


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Writes a valid manifest with these fields changed."""

    def write(name: str, **changes: Any) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(manifest(**changes)))
        return path

    return write


@pytest.fixture
def models(bare_ryla: Ryla, tmp_path: Path) -> Ryla:
    """`ryla models` with a folder and a table of one's own."""
    table = tmp_path / "models.toml"
    table.write_text(MODELS_TABLE)
    settings = {"RYLA_MODELS_FILE": str(table), "RYLA_MODELS_DIR": str(tmp_path / "models")}
    return lambda *words, **environ: bare_ryla("models", *words, **{**settings, **environ})
