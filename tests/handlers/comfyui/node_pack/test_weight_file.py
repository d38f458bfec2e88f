import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="`make nodes` brings it")

from handlers.comfyui.node_pack import weight_file  # noqa: E402

pytestmark = pytest.mark.nodes
CPU = torch.device("cpu")


def written(path: Path, tensors: Mapping[str, Any], **header: Any) -> Path:
    """A safetensors file of these tensors; `header` is laid over what it says."""
    told: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    body = b""
    names = {dtype: name for name, dtype in weight_file.DTYPES.items()}
    for name, tensor in tensors.items():
        data = tensor.contiguous().view(-1).view(torch.uint8).numpy().tobytes()
        told[name] = {
            "dtype": names[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [len(body), len(body) + len(data)],
        }
        body += data
    text = json.dumps(told | header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + body)
    return path


def made(*shape: int, dtype: Any = None) -> Any:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1)).to(dtype or torch.float32)


def test_every_tensor_is_read_as_it_was_written(tmp_path: Path) -> None:
    tensors = {
        "blocks.0.weight": made(64, 48, dtype=torch.bfloat16),
        "scale": made(1).reshape(()),
        "half": made(7, dtype=torch.float16),
        "empty": made(0, 4),
    }

    read = weight_file.read(written(tmp_path / "w.safetensors", tensors), CPU)

    assert read.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert read[name].dtype == tensor.dtype
        assert torch.equal(read[name], tensor)


def test_a_tensor_of_many_chunks_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weight_file, "CHUNK_BYTES", 1000)
    tensors = {"large": made(101, 97), "next": made(3)}

    read = weight_file.read(written(tmp_path / "w.safetensors", tensors), CPU)

    assert all(torch.equal(read[name], tensor) for name, tensor in tensors.items())


def test_the_header_tells_types_and_bytes_without_reading_tensors(tmp_path: Path) -> None:
    path = written(tmp_path / "w.safetensors", {"a": made(4, dtype=torch.bfloat16), "b": made(2)})

    told = weight_file.header(path)

    assert told.size == 4 * 2 + 2 * 4
    assert told.dtypes == {torch.bfloat16, torch.float32}
    assert told.metadata == {"format": "pt"}


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        ({"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}, "does not take 4 bytes"),
        ({"dtype": "F99", "shape": [1], "data_offsets": [0, 4]}, "F99"),
        ({"dtype": "F32", "shape": [2], "data_offsets": [4, 12]}, "do not adjoin"),
        ({"dtype": "F32", "shape": [9], "data_offsets": [0, 36]}, "tells of"),
    ],
)
def test_a_header_that_does_not_fit_its_file_is_named(
    entry: Mapping[str, Any], says: str, tmp_path: Path
) -> None:
    path = written(tmp_path / "w.safetensors", {"a": made(2)}, a=entry)

    with pytest.raises(ValueError, match=says):
        weight_file.read(path, CPU)


@pytest.mark.parametrize("body", [b"", b"\xff" * 8, struct.pack("<Q", 1 << 40) + b"{}"])
def test_what_is_no_such_file_is_refused(body: bytes, tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    path.write_bytes(body)

    with pytest.raises(ValueError, match=r"safetensors|Expecting|JSON"):
        weight_file.header(path)
