"""The micro files are those that models.toml names, and well formed."""

import json
import math
import struct
from pathlib import Path
from typing import Any

import pytest

from config.tables import load_models
from tests.comfyui.micro import make_models

TABLE = Path(make_models.__file__).with_name("models.toml")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("comfyui")
    make_models.make(home)
    return home


def header(path: Path) -> tuple[dict[str, Any], int]:
    """The header of a safetensors file, and how many bytes follow it."""
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        return json.loads(file.read(length)), path.stat().st_size - 8 - length


@pytest.mark.parametrize("kind", ["flux-dev", "flux-schnell"])
def test_every_file_of_a_set_is_made(folder: Path, kind: str) -> None:
    for weight in load_models(TABLE).weights(kind).values():
        assert (folder / "models" / weight.folder / weight.file).is_file()


def test_the_sets_hold_nothing_but_micro_files() -> None:
    models = load_models(TABLE)
    named = {w.file for kind in ("flux-dev", "flux-schnell") for w in models.weights(kind).values()}
    assert named == {Path(name).name for name in make_models.files()}


@pytest.mark.parametrize("name", make_models.files())
def test_tensors_fill_a_file_without_gaps(folder: Path, name: str) -> None:
    tensors, size = header(folder / "models" / name)
    end = 0
    for tensor in tensors.values():
        start, stop = tensor["data_offsets"]
        assert (start, stop - start) == (end, 2 * math.prod(tensor["shape"]))
        end = stop
    assert end == size


def test_the_same_bytes_every_time(folder: Path, tmp_path: Path) -> None:
    again = make_models.make(tmp_path)
    for path in again:
        assert path.read_bytes() == (folder / path.relative_to(tmp_path)).read_bytes()


def test_the_patch_lies_where_comfyui_loads_it(folder: Path) -> None:
    patch = folder / "custom_nodes" / "tiny_patch.py"
    assert patch.read_bytes() == make_models.PATCH.read_bytes()
