"""The micro files are those that models.toml names, and well formed."""

import json
import math
import struct
from pathlib import Path
from typing import Any

import pytest

from config.models import load_models
from handlers.kinds.lora_fields import lora_base
from handlers.loras.fit import check
from handlers.loras.header import BytesRanges
from tests.comfyui.micro import make_models
from tests.comfyui.micro.table import SETS

TABLE = Path(make_models.__file__).with_name("models.toml")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("comfyui")
    make_models.make(home)
    return home


@pytest.fixture
def alone() -> None:
    """No server is needed."""


def header(path: Path) -> tuple[dict[str, Any], int]:
    """The header of a safetensors file, and how many bytes follow it."""
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        return json.loads(file.read(length)), path.stat().st_size - 8 - length


@pytest.mark.parametrize("kind", SETS)
def test_every_file_of_a_set_is_made(folder: Path, kind: str) -> None:
    for weight in load_models(TABLE).weights(kind).values():
        assert (folder / "models" / weight.folder / weight.file).is_file()


def test_the_sets_hold_nothing_but_micro_files() -> None:
    models = load_models(TABLE)
    named = {weight.file for kind in SETS for weight in models.weights(kind).values()}
    made = make_models.files().keys() - make_models.loras().keys()
    assert named == {Path(name).name for name in made}


@pytest.mark.parametrize("name", make_models.files())
def test_tensors_fill_a_file_without_gaps(folder: Path, name: str) -> None:
    tensors, size = header(folder / "models" / name)
    end = 0
    for tensor in tensors.values():
        start, stop = tensor["data_offsets"]
        assert (start, stop - start) == (end, 2 * math.prod(tensor["shape"]))
        end = stop
    assert end == size


@pytest.mark.parametrize(
    ("kind", "lora"), [("flux-dev", "micro-flux-lora"), ("z-image-turbo", "micro-z-image-lora")]
)
def test_the_loras_fit_their_models(folder: Path, kind: str, lora: str) -> None:
    unet = load_models(TABLE).weights(kind)["unet"]
    body = (folder / "models" / "loras" / f"{lora}.safetensors").read_bytes()
    assert check(BytesRanges(body), lora_base(unet)).adapters


def test_zeros_take_up_no_disk(folder: Path) -> None:
    adapter = (folder / "models" / "instantid" / "micro-ip-adapter.safetensors").stat()
    assert adapter.st_size > 150_000_000
    assert adapter.st_blocks * 512 < 30_000_000


def test_the_face_pack_is_the_same_every_time(tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    packs = [make_models.make_faces(tmp_path / name) for name in ("one", "other")]
    one, other = ([path.read_bytes() for path in pack] for pack in packs)
    assert one == other


@pytest.mark.thorough
def test_the_same_bytes_every_time(folder: Path, tmp_path: Path) -> None:
    again = make_models.make(tmp_path)
    for path in again:
        assert path.read_bytes() == (folder / path.relative_to(tmp_path)).read_bytes()


@pytest.mark.parametrize("node", [make_models.PATCH, make_models.CONTROL_IMAGE])
def test_the_nodes_lie_where_comfyui_loads_them(folder: Path, node: Path) -> None:
    assert (folder / "custom_nodes" / node.name).read_bytes() == node.read_bytes()
