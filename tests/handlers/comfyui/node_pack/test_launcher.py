import os
import sys
from pathlib import Path
from types import ModuleType

import pytest

pytest.importorskip("torch", reason="`make nodes` brings it")

import torch

from handlers.comfyui.node_pack.launcher.attachment import Unlike, statement
from handlers.comfyui.node_pack.launcher.hidden_gpu import HiddenGpu, traces
from handlers.comfyui.node_pack.launcher.startup import UnknownMain, start_up

pytestmark = pytest.mark.nodes


def test_a_hidden_gpu_answers_what_an_import_asks_and_is_shown_as_it_was(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    monkeypatch.delenv("PYTORCH_NVML_BASED_CUDA_CHECK", raising=False)
    before = {name: getattr(torch.cuda, name) for name in ("current_device", "mem_get_info")}

    gpu = HiddenGpu()
    assert torch.device(torch.cuda.current_device()) == torch.device("cuda", 0)
    assert torch.cuda.memory_stats()["reserved_bytes.all.current"] == 0
    assert not torch.cuda.is_available()
    assert os.environ["CUDA_VISIBLE_DEVICES"] == ""
    gpu.show()

    assert {name: getattr(torch.cuda, name) for name in before} == before
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "3"
    assert "PYTORCH_NVML_BASED_CUDA_CHECK" not in os.environ


def test_an_open_device_is_a_trace_of_cuda(tmp_path: Path) -> None:
    assert traces(tmp_path) == []
    (tmp_path / "7").symlink_to("/dev/nvidia-uvm")
    (tmp_path / "8").symlink_to("/dev/null")
    assert traces(tmp_path) == ["/dev/nvidia-uvm is open"]


SOURCE = """
def f():
    total = measure()  # not at the top
total = 1
if True:
    kind = "a"
    again = kind
"""


def module(tmp_path: Path, source: str = SOURCE) -> ModuleType:
    made = ModuleType("made")
    made.__file__ = str(tmp_path / "made.py")
    Path(made.__file__).write_text(source)
    return made


@pytest.mark.parametrize(
    ("text", "found"), [("total =", {"total": 1}), ("again = kind", {"kind": "a", "again": "a"})]
)
def test_the_top_level_statement_that_a_text_stands_in_runs_again_in_its_module(
    tmp_path: Path, text: str, found: dict[str, object]
) -> None:
    made = module(tmp_path)
    exec(statement(made, text).code, vars(made))
    assert {name: vars(made).get(name) for name in found} == found
    assert ("kind" in vars(made)) is ("kind" in found)


@pytest.mark.parametrize(("source", "count"), [("x = 2\n", 0), ("total = 1\ntotal = 2\n", 2)])
def test_a_statement_that_is_not_there_once_is_not_guessed(
    tmp_path: Path, source: str, count: int
) -> None:
    with pytest.raises(Unlike, match=f"made has {count} statements"):
        statement(module(tmp_path, source), "total =")


@pytest.mark.parametrize(
    "source", ["", "x = 1\n", "if True:\n    pass\n", "def start_comfyui():\n    pass\n"]
)
def test_another_main_is_not_started(tmp_path: Path, source: str) -> None:
    (tmp_path / "main.py").write_text(source)
    before, argv = sys.modules["__main__"], sys.argv
    try:
        with pytest.raises(UnknownMain):
            start_up(tmp_path, [])
    finally:
        sys.modules["__main__"], sys.argv = before, argv
