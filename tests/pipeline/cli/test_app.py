import subprocess
import sys

import pytest

from config.settings import Settings
from pipeline.cli.commands import SUMMARIES
from tests.pipeline.cli.conftest import Ryla

GROUPS = {"comfyui", "faces", "keys", "loras", "models", "sheets"}
COMMANDS = sorted(SUMMARIES.keys() - GROUPS)


def test_the_help_names_every_command(bare_ryla: Ryla) -> None:
    said = bare_ryla("--help").out

    for name in SUMMARIES:
        assert f" {name} " in said


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself_with_an_example_and_takes_json(
    bare_ryla: Ryla, name: str
) -> None:
    answer = bare_ryla(name, "--help")

    assert answer.code == 0
    assert f"ryla {name}" in answer.out.partition("Example")[2]
    assert "--json" in answer.out


def test_the_version_is_that_of_the_package(bare_ryla: Ryla) -> None:
    assert bare_ryla("--version").out == f"ryla {Settings().app_version}\n"


@pytest.mark.parametrize(
    "words",
    [
        ["no-such-command"],
        ["submit"],
        ["submit", "no/such/file.json"],
        ["results"],
        ["results", "one", "--all"],
        ["dispatch", "--once", "--for", "3"],
        ["events", "--follow", "--job", "one"],
        ["schema", "no-such-schema"],
    ],
)
def test_wrong_usage_has_an_exit_code_of_its_own(bare_ryla: Ryla, words: list[str]) -> None:
    answer = bare_ryla(*words)

    assert answer.code == 2
    assert "Usage: ryla" in answer.err


def test_the_installed_command_runs() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from pipeline.cli import main; main()", "--version"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")


def test_what_stands_in_angle_brackets_is_shown(bare_ryla: Ryla) -> None:
    assert "inbox/<id>.json" in bare_ryla("submit", "--help", COLUMNS="200").out
    assert "<name>.schema.json" in bare_ryla("schema", "--help", COLUMNS="200").out
