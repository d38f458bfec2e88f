"""What the page names is there: the tests that try to break a promise, the faults of an audit."""

import ast
import re
from functools import cache

import pytest

from pipeline.jobs.audit.faults import FaultKind
from tests.support.doc_blocks import ROOT

PAGE = (ROOT / "docs/reliability.md").read_text("utf-8")
NAMED = sorted(set(re.findall(r"`(tests/[^`]+\.py)(?:::(\w+))?`", PAGE)))


@cache
def names_in(file: str) -> frozenset[str]:
    tree = ast.parse((ROOT / file).read_bytes())
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))


@pytest.mark.parametrize(("file", "name"), NAMED)
def test_a_test_that_is_named_exists(file: str, name: str) -> None:
    assert name.startswith("test_")
    assert name in names_in(file)


def rows(chapter: str) -> list[str]:
    text = PAGE.split(f"\n## {chapter}\n")[1].split("\n## ")[0]
    return [line for line in text.splitlines() if line.startswith("| ")][2:]


@pytest.mark.parametrize("chapter", ["Promises", "What ends, and what goes on"])
def test_each_promise_has_a_test(chapter: str) -> None:
    assert len(rows(chapter)) > 5
    assert [row for row in rows(chapter) if not re.search(r"`tests/[^`]+::test_\w+`", row)] == []


def test_the_page_knows_every_fault_of_an_audit() -> None:
    named = re.findall(
        r"`(\w+)`", " ".join(r.split("|")[1] for r in rows("Hold a bucket against it"))
    )

    assert sorted(named) == sorted(FaultKind)
