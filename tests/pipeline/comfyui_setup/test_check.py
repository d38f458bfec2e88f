import sys
from pathlib import Path

import pytest

from handlers.comfyui.standin import standin_folder
from pipeline.comfyui_setup.check import lines, main
from pipeline.comfyui_setup.nodes import compare_nodes
from workflows.interfaces import Interfaces, committed
from workflows.required_nodes import INSTANTID

LOG = (
    f"Cannot import /comfy/custom_nodes/{INSTANTID} module for custom nodes: No module named 'cv2'",
)


def without(name: str) -> Interfaces:
    nodes = committed().nodes
    return Interfaces("0.8.0", {each: node for each, node in nodes.items() if each != name})


def test_a_missing_node_is_told_with_the_error_that_kept_its_pack_out() -> None:
    said = list(lines(compare_nodes(without("ApplyInstantIDAdvanced"), LOG)))
    assert said[0] == (
        f"missing: ApplyInstantIDAdvanced. {INSTANTID} could not be imported: No module named 'cv2'"
    )


def test_a_node_of_comfyuis_own_that_is_missing_is_a_matter_of_its_version() -> None:
    (said,) = lines(compare_nodes(without("KSampler"), ()))
    assert said.startswith("missing: KSampler. ComfyUI 0.33.0 has it and ComfyUI 0.8.0 has not")


def test_a_folder_with_every_node_passes() -> None:
    said: list[str] = []
    assert main([str(standin_folder()), sys.executable], said.append) == 0
    assert said[-1].endswith("nodes that the graphs need")


def test_a_comfyui_that_does_not_start_fails_with_its_own_words(tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text("raise SystemExit('no torch here')")
    said: list[str] = []
    assert main([str(tmp_path), sys.executable], said.append) == 1
    assert "no torch here" in said
    assert said[-1].startswith("comfyui_start_failed")


@pytest.mark.parametrize("arguments", [[], ["a", "b", "c"]])
def test_it_says_how_it_is_called(arguments: list[str]) -> None:
    said: list[str] = []
    assert main(arguments, said.append) == 2
    assert said[0].startswith("usage:")
