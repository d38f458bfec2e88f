"""The header of a safetensors file: what tensors it holds, read without the tensors.

Layout: 8 bytes with the header's length (little endian), the header (JSON), then the tensors end
to end. Nothing here, or after it, ever unpickles.
"""

import json
import math
import os
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

from config.errors import LoraUnreadable

HEADER_LIMIT = 16 * 2**20
"""Bytes. Trainers write 0.1 MB, or a few MB where they put the captions of a data set into it."""
FIRST_READ = 256 * 2**10
"""Bytes. Enough for nearly every header, so that one read does."""
MOST_DIMENSIONS = 8
"""Of a tensor; a convolution has 4."""

ITEM_BYTES: Mapping[str, int] = MappingProxyType(
    {"BOOL": 1, "U8": 1, "I8": 1, "F8_E4M3": 1, "F8_E5M2": 1, "F8_E8M0": 1}
    | {"U16": 2, "I16": 2, "F16": 2, "BF16": 2, "U32": 4, "I32": 4, "F32": 4}
    | {"U64": 8, "I64": 8, "F64": 8}
)

_MAGICS = (
    (b"PK\x03\x04", "a zip archive"),
    (b"\x1f\x8b", "compressed with gzip"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"Rar!", "a RAR archive"),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd"),
    (b"\x80", "a pickle"),
    (b"GGUF", "a GGUF file"),
    (b"version https://git-lfs", "a Git LFS pointer, not the file itself"),
    (b"<", "a web page, not the file itself"),
)


class Ranges(Protocol):
    """A file that can be read from anywhere."""

    @property
    def size(self) -> int:
        """Bytes."""

    def read_range(self, offset: int, length: int) -> bytes:
        """`length` bytes from `offset`; fewer only where the file ends."""


@dataclass(frozen=True)
class FileRanges:
    path: Path

    @property
    def size(self) -> int:
        return self.path.stat().st_size

    def read_range(self, offset: int, length: int) -> bytes:
        with self.path.open("rb") as file:
            return os.pread(file.fileno(), length, offset)


@dataclass(frozen=True)
class BytesRanges:
    body: bytes

    @property
    def size(self) -> int:
        return len(self.body)

    def read_range(self, offset: int, length: int) -> bytes:
        return self.body[offset : offset + length]


@dataclass(frozen=True)
class Tensor:
    name: str
    dtype: str
    shape: tuple[int, ...]
    offset: int
    """From the start of the file."""
    length: int
    """Bytes."""


@dataclass(frozen=True)
class Header:
    tensors: Mapping[str, Tensor]
    metadata: Mapping[str, str]
    """What the trainer wrote; nobody vouches for it."""


def quoted(name: str) -> str:
    """A tensor's name as it can stand in a message, whatever the file calls it."""
    text = ascii(name)
    return text if len(text) <= 160 else f"{text[:157]}…'"


def read_header(file: Ranges) -> Header:
    """The checked header, in one or two reads. Raises LoraUnreadable with the reason."""
    size = file.size
    if size == 0:
        raise LoraUnreadable("the file is empty")
    start = file.read_range(0, min(size, FIRST_READ))
    length = _header_length(start, size)
    text = start[8 : 8 + length]
    if len(text) < length:
        text += file.read_range(8 + len(text), length - len(text))
    if len(text) < length:
        raise LoraUnreadable(f"the file ends inside its header of {length:,} bytes")
    return _parse(text, 8 + length, size)


def _header_length(start: bytes, size: int) -> int:
    length: int = struct.unpack("<Q", start[:8])[0] if len(start) >= 8 else 0
    if start[8:9] == b"{" and length <= HEADER_LIMIT:
        if 8 + length <= size:
            return length
        raise LoraUnreadable(
            f"the file is cut off: its header alone takes {8 + length:,} bytes, it has {size:,}"
        )
    for magic, meaning in _MAGICS:
        if start.startswith(magic):
            raise _other_file(start, meaning)
    if start[257:262] == b"ustar":
        raise _other_file(start, "a tar archive")
    if start[8:9] == b"{":
        raise LoraUnreadable(
            f"the header claims {length:,} bytes, the limit is {HEADER_LIMIT:,}", value=length
        )
    raise LoraUnreadable("the file is not safetensors: no JSON header at byte 8")


def _other_file(start: bytes, meaning: str) -> LoraUnreadable:
    if start.startswith(b"PK") and b"data.pkl" in start:
        meaning = "a PyTorch archive (pickle)"
    packed = "archive" in meaning or "compressed" in meaning
    unpack = packed and "pickle" not in meaning
    return LoraUnreadable(
        f"the file is {meaning}; only safetensors is loaded",
        hint="Unpack it, and upload the .safetensors file that is inside." if unpack else None,
    )


def _parse(text: bytes, data_start: int, size: int) -> Header:
    try:
        raw = json.loads(text.decode(), parse_constant=_refuse_constant, object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise LoraUnreadable(f"the header is not strict JSON: {error}") from None
    if not isinstance(raw, dict):
        raise LoraUnreadable("the header is not a JSON object")
    metadata = _metadata(raw.pop("__metadata__", {}))
    tensors = [_tensor(name, entry, data_start) for name, entry in raw.items()]
    _require_contiguous(tensors, data_start, size)
    return Header(MappingProxyType({each.name: each for each in tensors}), metadata)


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is no JSON number")


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name appears twice")
    return found


def _metadata(raw: object) -> Mapping[str, str]:
    if isinstance(raw, dict) and all(isinstance(value, str) for value in raw.values()):
        return MappingProxyType(raw)
    raise LoraUnreadable("the header's __metadata__ is not a table of texts")


def _tensor(name: str, entry: object, data_start: int) -> Tensor:
    if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
        raise LoraUnreadable(f"{quoted(name)} lacks dtype, shape or data_offsets, or has more")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in ITEM_BYTES:
        raise LoraUnreadable(f"{quoted(name)} has an unknown dtype", value=dtype)
    if not _are_sizes(shape) or len(shape) > MOST_DIMENSIONS:
        raise LoraUnreadable(f"the shape of {quoted(name)} is not a list of sizes")
    if not _are_sizes(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:
        raise LoraUnreadable(f"the offsets of {quoted(name)} are not [begin, end]")
    begin, end = offsets
    wanted = math.prod(shape) * ITEM_BYTES[dtype]
    if end - begin != wanted:
        raise LoraUnreadable(
            f"{quoted(name)} takes {end - begin:,} bytes; {dtype} {list(shape)} is {wanted:,}"
        )
    return Tensor(name, dtype, tuple(shape), data_start + begin, end - begin)


def _are_sizes(values: object) -> bool:
    return isinstance(values, list) and all(
        isinstance(each, int) and not isinstance(each, bool) and 0 <= each < 2**63
        for each in values
    )


def _require_contiguous(tensors: Sequence[Tensor], data_start: int, size: int) -> None:
    end = data_start
    for each in sorted(tensors, key=lambda tensor: (tensor.offset, tensor.length)):
        if each.offset != end:
            problem = "overlaps the tensor before it" if each.offset < end else "leaves a gap"
            raise LoraUnreadable(f"{quoted(each.name)} {problem} in the file")
        end += each.length
    if end != size:
        problem = "is cut off" if end > size else "has more after its last tensor"
        raise LoraUnreadable(f"the file {problem}: {size:,} bytes, its header says {end:,}")
