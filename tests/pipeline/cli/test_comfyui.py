import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from handlers.comfyui.standin import server as standin
from handlers.comfyui.standin import standin_folder
from handlers.comfyui.standin.options import Options
from tests.pipeline.cli.conftest import Ryla
from workflows import interfaces, required_nodes

PYTHON = sys.executable


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    with standin.running(Options.under(tmp_path / "standin")) as url:
        yield url


@pytest.fixture
def older(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A server without FluxGuidance, and with another KSampler."""
    ours = interfaces.committed()
    nodes = {name: node for name, node in ours.nodes.items() if name != "FluxGuidance"}
    sampler = nodes["KSampler"]
    nodes["KSampler"] = replace(sampler, output=("LATENT", "IMAGE"))
    monkeypatch.setattr(standin, "known", lambda: interfaces.Interfaces("0.3.64", nodes))
    with standin.running(Options.under(tmp_path / "older")) as url:
        yield url


def test_a_comfyui_with_our_interfaces_passes(bare_ryla: Ryla, url: str) -> None:
    answer = bare_ryla("comfyui", "interfaces", "--url", url, "--check")

    assert answer.code == 0, answer.err
    assert f"All {len(required_nodes.ALL)} nodes that the graphs need are there" in answer.out


def test_the_table_that_is_written_is_the_committed_one(
    bare_ryla: Ryla, url: str, tmp_path: Path
) -> None:
    out = tmp_path / "table.json"

    answer = bare_ryla("comfyui", "interfaces", "--out", out, RYLA_COMFYUI_URL=url)

    assert answer.code == 0, answer.err
    table = interfaces.from_table(json.loads(out.read_text()))
    assert table.nodes == interfaces.committed().nodes


def test_what_an_older_comfyui_lacks_is_said_with_both_versions(
    bare_ryla: Ryla, older: str
) -> None:
    answer = bare_ryla("comfyui", "interfaces", "--url", older, "--check")

    assert answer.code == 1
    ours = interfaces.committed().comfyui_version
    assert f"Missing: FluxGuidance. ComfyUI {ours} has it" in answer.out
    assert "Differs: KSampler: output: ('LATENT',) became ('LATENT', 'IMAGE')" in answer.out


def test_programs_get_the_differences_as_data(bare_ryla: Ryla, older: str) -> None:
    answer = bare_ryla("comfyui", "interfaces", "--url", older, "--json")

    assert answer.code == 0
    assert list(answer.document["missing"]) == ["FluxGuidance"]
    assert list(answer.document["changed"]) == ["KSampler"]


def test_a_comfyui_must_be_named(bare_ryla: Ryla) -> None:
    answer = bare_ryla("comfyui", "interfaces", "--json")

    assert answer.code == 1
    assert answer.error["field"] == "RYLA_COMFYUI_URL"


def test_a_folder_is_started_and_looked_at(bare_ryla: Ryla) -> None:
    """The stand-in's folder stands for ComfyUI's."""
    answer = bare_ryla("comfyui", "check", standin_folder(), "--json", RYLA_COMFYUI_PYTHON=PYTHON)

    assert answer.code == 0, answer.err
    assert answer.document["good"]
    assert answer.document["not_imported"] == {}


def test_a_folder_that_does_not_start_says_why(bare_ryla: Ryla, tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text("raise SystemExit('no torch here')")

    answer = bare_ryla("comfyui", "check", tmp_path, "--json", RYLA_COMFYUI_PYTHON=PYTHON)

    assert answer.code == 1
    assert answer.error["code"] == "comfyui_start_failed"
    assert "no torch here" in answer.error["message"]


@pytest.mark.parametrize(
    ("words", "field"),
    [
        (("--pack", "nothing"), "--pack"),
        (("--pack-source", "ComfyUI_InstantID"), "--pack-source"),
        (("--pack-source", "nothing=/tmp"), "--pack"),
    ],
)
def test_a_pack_that_is_not_known_is_refused_with_those_that_are(
    words: tuple[str, str], field: str, bare_ryla: Ryla, tmp_path: Path
) -> None:
    answer = bare_ryla("comfyui", "install", tmp_path / "new", *words, "--json")

    assert answer.code == 1
    assert answer.error["field"] == field
    assert not (tmp_path / "new").exists()
