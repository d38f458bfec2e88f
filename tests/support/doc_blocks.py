"""What the docs show, block by block, and ways to run it."""

import re
import runpy
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
COMMAND_NOT_FOUND = 127
OF_OTHERS = ("aws", "curl", "node")
"""Commands that may be missing where the tests run."""
_FENCE = re.compile(r"(?:`([\w./-]+)`:\n\n)?^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^(?=##+ )", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    page: Path
    chapter: str
    """The heading above it; empty at the top of a page."""
    language: str
    text: str
    file: str | None
    """The name of the file that it is the content of."""

    @property
    def place(self) -> str:
        return f"{self.page.relative_to(ROOT)}: {self.chapter}"

    @property
    def lines(self) -> list[str]:
        return [line for line in self.text.splitlines() if line]


def pages() -> list[Path]:
    """Every page of the project."""
    folders = (".", "docs", "clients", "clients/typescript", "tests/comfyui/micro")
    return [page for folder in folders for page in sorted((ROOT / folder).glob("*.md"))]


def blocks(page: Path) -> Iterator[Block]:
    for chapter in _HEADING.split(page.read_text("utf-8")):
        heading = chapter.partition("\n")[0]
        title = heading.lstrip("# ") if heading.startswith("##") else ""
        for file, language, text in _FENCE.findall(chapter):
            yield Block(page, title, language, text, file or None)


def run_python(text: str) -> None:
    exec(compile(text, "the docs", "exec"), {"__name__": "__main__"})


def run_script(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """`python SCRIPT …` in this process, as one of its own would cost more than the pictures."""
    _, script, *arguments = shlex.split(line, comments=True)
    monkeypatch.setattr(sys, "argv", [script, *arguments])
    with pytest.raises(SystemExit) as end:
        runpy.run_path(script, run_name="__main__")
    assert end.value.code == 0, line


def run_shell(text: str) -> None:
    run = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", text],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    missing = re.search(r"(\w+): command not found", run.stderr)
    if run.returncode == COMMAND_NOT_FOUND and missing and missing[1] in OF_OTHERS:
        pytest.skip(f"not on this machine: {missing[1]}")
    assert run.returncode == 0, f"{text}\n{run.stdout}{run.stderr}"
