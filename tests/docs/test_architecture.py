"""docs/architecture.md is right: every room has a line, and each name stands in the file named."""

import ast
import re
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.support.doc_blocks import ROOT
from tests.test_architecture import found
from tools.rooms import Arrows, arrows

pytestmark = pytest.mark.xdist_group("architecture")

PAGE = ROOT / "docs" / "architecture.md"
_LINK = re.compile(r"\[([^\]]+)\]\(\.\./([^)]+)\)")
_WORD = re.compile(r"`([^`]+)`")


def table(header: str) -> list[list[str]]:
    """The cells of each row below this header."""
    lines = PAGE.read_text("utf-8").partition(f"\n{header}\n")[2].splitlines()
    rows = lines[1 : lines.index("") if "" in lines else None]
    return [row.strip("| ").split(" | ") for row in rows]


ROOMS = [_WORD.findall(first)[0] for first, *_ in table("| room | holds | must not |")]
ANSWERS = table("| question | file | name |")


@cache
def imports() -> Arrows:
    return arrows(found())


@cache
def names_in(file: Path) -> set[str]:
    """What a file defines: classes, functions, variables and fields; keys of a TOML file."""
    if file.suffix == ".toml":
        return set(_keys(tomllib.loads(file.read_text("utf-8"))))
    return set(_defined(ast.parse(file.read_bytes())))


def _keys(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, each in value.items():
            yield key
            yield from _keys(each)


def _defined(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id


def test_every_room_has_its_line_and_every_line_is_of_a_room() -> None:
    assert sorted(ROOMS) == sorted(imports())


def test_a_room_imports_only_rooms_further_down_the_page() -> None:
    for above, room in enumerate(ROOMS):
        assert imports()[room] <= set(ROOMS[above + 1 :]), room


def test_rooms_in_the_drawing_are_rooms() -> None:
    drawn = set(re.findall(r"pipeline/[a-z_]+", PAGE.read_text("utf-8").split("```")[1]))

    assert len(drawn) > 10
    assert drawn <= set(ROOMS)


def test_the_page_answers_more_than_ten_questions() -> None:
    assert len({question for question, *_ in ANSWERS}) == len(ANSWERS) > 10


@pytest.mark.parametrize("answer", ANSWERS, ids=lambda answer: answer[0])
def test_the_name_stands_in_the_file(answer: list[str]) -> None:
    _, files, names = answer
    shown = _LINK.findall(files)
    named = set(_WORD.findall(names))
    there = [names_in(ROOT / path) & named for _, path in shown]

    assert all(text == path for text, path in shown)
    assert all(there)
    assert set.union(*there) == named
