import os
from pathlib import Path

import pytest

from pipeline.comfyui_setup.nodes import FLAGS, check_folder, compare_nodes, failed_imports
from workflows.interfaces import Interfaces, committed

HAS_REAL = bool(os.environ.get("RYLA_COMFYUI_DIR"))
LOG = """\
Traceback (most recent call last):
ModuleNotFoundError: No module named 'insightface'

Cannot import /comfy/custom_nodes/ComfyUI_InstantID module for custom nodes: No module named 'insightface'
Import times for custom nodes:
   0.0 seconds: /comfy/custom_nodes/websocket_image_save.py
   0.2 seconds (IMPORT FAILED): /comfy/custom_nodes/ComfyUI_InstantID
WARNING: some comfy_extras/ nodes did not import correctly.
IMPORT FAILED: nodes_audio.py
"""  # noqa: E501


def test_the_log_tells_what_was_not_imported_and_why() -> None:
    assert failed_imports(LOG.splitlines()) == {
        "ComfyUI_InstantID": "No module named 'insightface'",
        "nodes_audio.py": "ComfyUI does not say why",
    }


def test_a_log_without_failures_tells_none() -> None:
    assert failed_imports(["Import times for custom nodes:", "   0.0 seconds: /x/y.py"]) == {}


def test_a_comfyui_without_a_needed_node_is_not_good() -> None:
    ours = committed()
    nodes = {name: node for name, node in ours.nodes.items() if "InstantID" not in name}

    found = compare_nodes(Interfaces("0.8.0", nodes), LOG.splitlines())

    assert not found.good
    assert "ApplyInstantIDAdvanced" in found.comparison.missing
    assert "ComfyUI_InstantID" in found.failed
    assert compare_nodes(ours, []).good


@pytest.mark.comfyui
@pytest.mark.skipif(not HAS_REAL, reason="no real ComfyUI to start: set RYLA_COMFYUI_DIR")
def test_a_real_comfyui_tells_why_a_pack_was_not_imported(tmp_path: Path) -> None:
    packs = tmp_path / "packs"
    (packs / "broken_pack").mkdir(parents=True)
    (packs / "broken_pack" / "__init__.py").write_text("import nothing_of_that_name\n")
    paths = tmp_path / "paths.yaml"
    paths.write_text(f"test:\n  custom_nodes: {packs}\n")

    found = check_folder(
        Path(os.environ["RYLA_COMFYUI_DIR"]),
        Path(os.environ["RYLA_COMFYUI_PYTHON"]),
        os.environ,
        ready_seconds=100,
        flags=(*FLAGS, "--extra-model-paths-config", str(paths)),
    )

    assert found.failed["broken_pack"] == "No module named 'nothing_of_that_name'"
    assert "KSampler" not in found.comparison.missing
    assert not found.comparison.changed
