"""Runs what the docs show, as it stands there."""

import json
import os
import sys
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from config.models import load_models
from handlers.faces.boxes import Box
from pipeline.local.demo.lora import make_lora
from pipeline.loras import library
from tests.clients.conftest import Api
from tests.support.doc_blocks import ROOT, blocks, run_python, run_script, run_shell
from tests.support.portraits import portrait

pytestmark = pytest.mark.xdist_group("clients")

CLIENTS = ROOT / "clients"
PAGES = (ROOT / "docs" / "clients.md", CLIENTS / "README.md")
NEEDS_AN_INDEX = "pip install"
"""What installs is tested in test_installing, without one."""


def shown() -> Iterator[Any]:
    """Python by the block. Shell by the chapter, as its blocks go on where the last one ended."""
    for page in PAGES:
        for place, found in groupby(blocks(page), lambda block: block.place):
            chapter = list(found)
            python = [block.text for block in chapter if block.language == "python"]
            for number, text in enumerate(python):
                yield pytest.param("python", text, id=f"{place}, {number}")
            shell = "\n".join(block.text for block in chapter if block.language == "sh")
            if shell and NEEDS_AN_INDEX not in shell:
                marks = [pytest.mark.thorough] if "ommand line" in place else []
                yield pytest.param("sh", shell, id=place, marks=marks)


@pytest.fixture(scope="module")
def ready(api: Api) -> Api:
    """With the LoRA that the docs speak of."""
    known = library.bases(load_models(None))
    lora = make_lora(known["flux-dev"])
    api.store.write("loras/character-ann.safetensors", lora, "application/octet-stream")
    return api


@pytest.fixture
def folder(ready: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the docs' reader stands, with the files that they speak of."""
    (tmp_path / "clients").symlink_to(CLIENTS)
    (tmp_path / "ann.png").write_bytes(portrait({"anna": Box(240, 140, 160, 200)}))
    own = json.loads((ROOT / "examples" / "manifests" / "own-graph.json").read_text())
    (tmp_path / "graph.json").write_text(json.dumps(own["input"]["workflow"]))
    monkeypatch.chdir(tmp_path)
    for name, value in ready.environ().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    return tmp_path


@pytest.mark.parametrize(("kind", "text"), list(shown()))
def test_it_does_what_it_says(
    kind: str, text: str, folder: Path, ready: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    if kind == "python":
        run_python(text)
    elif all(line.startswith("python clients/") for line in text.splitlines() if line):
        for line in filter(None, text.splitlines()):
            run_script(line, monkeypatch)
    elif "DELETE" in text:
        with ready.busy():  # else it would be finished first
            run_shell(text)
    else:
        run_shell(text)

    for file in folder.glob("**/*.[pjw][npe][gb]*"):
        with Image.open(file) as picture:
            picture.load()
