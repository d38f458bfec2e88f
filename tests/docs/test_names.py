"""What a page names exists: settings, commands with their flags, targets of make, gauges."""

import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from config.settings import Settings, variable
from pipeline.api.routes.metrics import BudgetGauges, Gauges
from pipeline.cli.app import app
from pipeline.cli.commands import SUMMARIES, load
from pipeline.jobs.hold_ups import HoldUps
from pipeline.jobs.status import overview
from pipeline.queue.expiry import Lifetimes
from pipeline.store.conditional import SafeStore
from pipeline.store.memory import MemoryStore
from ryla_client import _config
from tests.support.doc_blocks import ROOT, blocks, pages

PAGES = pages()
VARIABLES = {variable(name) for name in Settings.model_fields}
VARIABLES |= {_config.URL_VARIABLE, _config.KEY_VARIABLE}
MISSPELT = {"RYLA_API_KEY"}
"""Named as such."""
OF_TESTS = {"RYLA_COMFYUI_FLAGS", "RYLA_SHOTS"}
"""Read by tests/comfyui alone."""


@cache
def command_line() -> Any:
    """With the commands in place of their lines in the help."""
    whole: Any = get_command(app)
    whole.commands = {name: load(name) for name in SUMMARIES}
    return whole


def commands(page: Path) -> Iterator[str]:
    """Each `ryla …` that a page shows or speaks of."""
    for block in blocks(page):
        if block.language == "sh":
            text = block.text.replace("\\\n", " ")
            for line in re.split(r"[\n|;]|&&", text):
                if match := re.match(r"\s*(?:[A-Z_]+=\S+ )*(ryla .*)", line):
                    yield match[1]
    prose = re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    yield from re.findall(r"^ {4}(?:[A-Z_]+=\S+ )*(ryla .*)$", prose, re.MULTILINE)
    yield from re.findall(r"`(?:[A-Z_]+=\S+ )*(ryla [^`;]+)", " ".join(prose.split()))


by_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


@by_page
def test_settings_are_settings(page: Path) -> None:
    named = set(re.findall(r"\bRYLA_[A-Z0-9_]*[A-Z0-9]\b(?!_?…)", page.read_text("utf-8")))

    assert named - VARIABLES - MISSPELT - OF_TESTS == set()


@by_page
def test_commands_and_flags_are_known(page: Path) -> None:
    for line in commands(page):
        _, *words = shlex.split(line, comments=True)
        command = command_line()
        while hasattr(command, "commands") and words and not words[0].startswith("-"):
            command = command.commands.get(words.pop(0))
            assert command is not None, line
        flags = {flag for each in command.params for flag in (*each.opts, *each.secondary_opts)}
        given = {word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)}
        assert given <= {*flags, "--help", "-h"}, line


def test_make_has_the_targets() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))

    for page in PAGES:
        shown = "\n".join(block.text for block in blocks(page) if block.language == "sh")
        text = shown + "\n" + "\n".join(re.findall(r"`(make[^`]*)`", page.read_text("utf-8")))
        for line in re.findall(r"^make (.*?)(?:  #.*)?$", text, re.MULTILINE):
            wanted = {word for word in line.split() if "=" not in word}
            assert wanted <= targets, f"{page.name}: make {line}"


def test_the_modal_app_has_the_functions() -> None:
    source = (ROOT / "comfyui_ryla.py").read_text()
    defined = set(re.findall(r"^def (\w+)", source, re.MULTILINE))

    for page in PAGES:
        for name in re.findall(r"comfyui_ryla\.py::(\w+)", page.read_text("utf-8")):
            assert name in defined, f"{page.name}: {name}"


def test_alarms_are_of_gauges_that_there_are() -> None:
    seen = overview(SafeStore(MemoryStore()))
    gauges = (Gauges(seen, Lifetimes.of(Settings())), BudgetGauges(HoldUps()))
    there = {each.name for of in gauges for each in of.collect()}

    rules = [b.text for b in blocks(ROOT / "docs/operations.md") if b.language == "yaml"]
    named = set(re.findall(r"\bryla_\w+", "\n".join(rules)))
    assert len(named) >= 6
    assert named <= there
