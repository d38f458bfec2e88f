import os
import sys
from pathlib import Path

import pytest

from pipeline.worker.attention import AttentionProbe
from workflows.node_pack import Attention


def python(tmp_path: Path, script: str) -> str:
    """A command that runs this in the place of Python and the probe."""
    file = tmp_path / "python"
    file.write_text(f"#!{sys.executable}\n{script}\n")
    file.chmod(0o755)
    return str(file)


@pytest.mark.parametrize(
    ("script", "choice"),
    [
        ("""print('{"attention": "torch", "torch_ms": 0.4, "flash_ms": 0.8}')""", Attention.TORCH),
        ("""print('{"attention": "comfyui"}')""", Attention.COMFYUI),
        ("""print('{"attention": "another"}')""", Attention.COMFYUI),
        ("""print('[]')""", Attention.COMFYUI),
        ("raise SystemExit(1)", Attention.COMFYUI),
    ],
    ids=["torch", "comfyui", "unknown", "no object", "fails"],
)
def test_what_was_measured_is_chosen_and_nothing_else(
    tmp_path: Path, script: str, choice: Attention
) -> None:
    probe = AttentionProbe(python(tmp_path, script), os.environ)

    assert probe.choice is choice
    assert probe.choice is choice  # asked once, remembered


def test_a_python_that_is_not_there_leaves_comfyuis_own(tmp_path: Path) -> None:
    assert AttentionProbe(str(tmp_path / "none"), {}).choice is Attention.COMFYUI


def test_it_can_be_ended_before_it_answers(tmp_path: Path) -> None:
    probe = AttentionProbe(python(tmp_path, "import time; time.sleep(60)"), os.environ)

    probe.stop()

    assert probe.choice is Attention.COMFYUI
