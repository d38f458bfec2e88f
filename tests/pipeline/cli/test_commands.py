"""The table of the commands says what their modules say."""

import pkgutil
from importlib import import_module
from typing import Any

import pytest
from typer.main import get_command

from pipeline import cli
from pipeline.cli.app import app
from pipeline.cli.commands import SUMMARIES, load
from tests.pipeline.cli.conftest import Ryla

ORDER = (
    "demo up submit plan status watch cancel stop sheets report spend results dispatch serve"
    " events schema forget doctor audit deploy accept keys faces loras models comfyui"
)


def shown(group: Any, capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit):
        group.main(["--help"], "ryla")
    return capsys.readouterr().out


def test_the_help_has_the_line_of_each_command_itself(capsys: pytest.CaptureFixture[str]) -> None:
    whole: Any = get_command(app)
    from_the_table = shown(whole, capsys)
    whole.commands = {name: load(name) for name in SUMMARIES}

    assert shown(whole, capsys) == from_the_table


def test_the_commands_stand_in_the_order_of_their_use() -> None:
    assert " ".join(SUMMARIES) == ORDER


def test_every_module_of_a_command_is_in_the_table() -> None:
    modules = (
        import_module(each.name) for each in pkgutil.iter_modules(cli.__path__, f"{cli.__name__}.")
    )
    names = {
        each.__name__.rpartition(".")[2]
        for each in modules
        if {"HELP", "register"} <= vars(each).keys()
    }
    of_groups = {name for name in names if name.partition("_")[0] in SUMMARIES.keys() - {name}}

    assert names - of_groups == {*SUMMARIES}


@pytest.mark.parametrize("name", SUMMARIES)
def test_a_module_registers_the_command_of_its_name(name: str) -> None:
    assert load(name).name == name


def test_a_misspelt_command_is_told_what_was_meant(bare_ryla: Ryla) -> None:
    answer = bare_ryla("statsu")

    assert answer.code == 2
    assert "Did you mean 'status'" in answer.err
