import json
import struct
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.errors import LoraUnreadable
from handlers.loras.header import (
    FIRST_READ,
    HEADER_LIMIT,
    BytesRanges,
    FileRanges,
    Header,
    read_header,
)
from tests.support.safetensors_files import Spec, entries, safetensors, with_header

TWO = {"a": Spec((2, 3)), "b": Spec((4,), "F32")}


def read(body: bytes) -> Header:
    return read_header(BytesRanges(body))


def refusal(body: bytes) -> str:
    with pytest.raises(LoraUnreadable) as caught:
        read(body)
    assert caught.value.code == "lora_unreadable"
    assert not caught.value.retryable
    return caught.value.message


@dataclass
class CountedReads:
    body: bytes
    reads: list[int] = field(default_factory=list)

    @property
    def size(self) -> int:
        return len(self.body)

    def read_range(self, offset: int, length: int) -> bytes:
        self.reads.append(length)
        return self.body[offset : offset + length]


def test_names_types_shapes_and_places_are_read() -> None:
    body = safetensors(TWO, {"software": "own"})
    header = read(body)
    assert [(each.name, each.dtype, each.shape) for each in header.tensors.values()] == [
        ("a", "F16", (2, 3)),
        ("b", "F32", (4,)),
    ]
    assert header.metadata == {"software": "own"}
    assert header.tensors["b"].offset + header.tensors["b"].length == len(body)


def test_a_scalar_and_a_padded_header_are_fine() -> None:
    text = json.dumps(entries({"alpha": Spec(())})).encode() + b"   "
    assert read(with_header(text, bytes(2))).tensors["alpha"].shape == ()


def test_a_file_on_disk_reads_the_same(tmp_path: Path) -> None:
    path = tmp_path / "any.safetensors"
    path.write_bytes(safetensors(TWO))
    assert read_header(FileRanges(path)) == read(safetensors(TWO))


def test_one_read_does_for_a_usual_file_and_two_for_a_long_header() -> None:
    usual = CountedReads(safetensors({"a": Spec((1000, 1000))}))
    read_header(usual)
    assert usual.reads == [FIRST_READ]
    long = CountedReads(safetensors(TWO, {"captions": "x" * 2 * FIRST_READ}))
    read_header(long)
    assert len(long.reads) == 2
    assert sum(long.reads) < len(long.body)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "empty"),
        (b"\x10\0", "no JSON header"),
        (bytes(100), "no JSON header"),
        (b"PK\x03\x04" + bytes(26) + b"archive/data.pkl" + bytes(60), "pickle"),
        (b"PK\x03\x04" + bytes(26) + b"ann.safetensors" + bytes(60), "zip archive"),
        (b"\x1f\x8b\x08" + bytes(60), "gzip"),
        (b"7z\xbc\xaf\x27\x1c" + bytes(60), "7z archive"),
        (b"Rar!\x1a\x07" + bytes(60), "RAR archive"),
        (b"\x28\xb5\x2f\xfd" + bytes(60), "zstd"),
        (b"ann.safetensors".ljust(257, b"\0") + b"ustar\0" + bytes(60), "tar archive"),
        (b"\x80\x02}q\x00." + bytes(60), "pickle"),
        (b"GGUF" + bytes(60), "GGUF"),
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer"),
        (b"<!DOCTYPE html><html>", "web page"),
    ],
)
def test_what_is_no_safetensors_is_called_by_its_name(body: bytes, reason: str) -> None:
    assert reason in refusal(body)


def test_a_short_file_whose_length_looks_like_a_pickle_is_still_safetensors() -> None:
    text = json.dumps(entries(TWO)).encode()
    body = with_header(text + b" " * (0x280 - len(text)), bytes(28))
    assert body.startswith(b"\x80\x02")
    assert set(read(body).tensors) == {"a", "b"}


@pytest.mark.parametrize("length", [HEADER_LIMIT + 1, 2**40, 2**64 - 1])
def test_a_huge_header_is_refused_before_it_is_read(length: int) -> None:
    source = CountedReads(struct.pack("<Q", length) + b'{"a":' + bytes(100))
    with pytest.raises(LoraUnreadable, match="claims"):
        read_header(source)
    assert source.reads == [source.size]


@pytest.mark.parametrize("kept", [9, 40, -1, -28])
def test_a_truncated_file_is_refused(kept: int) -> None:
    assert "cut off" in refusal(safetensors(TWO)[:kept])


def test_bytes_after_the_last_tensor_are_refused() -> None:
    assert "more after its last tensor" in refusal(safetensors(TWO) + b"PK\x05\x06")


def changed(**change: object) -> bytes:
    """TWO with an entry of its header changed."""
    table = entries(TWO)
    assert isinstance(table["b"], dict)
    table["b"] = {**table["b"], **change}
    return with_header(table, bytes(28))


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (changed(data_offsets=(8, 24)), "overlaps"),
        (changed(data_offsets=(13, 29)), "gap"),
        (changed(data_offsets=(12, 27)), "takes 15 bytes"),
        (changed(data_offsets=(28, 12)), "begin, end"),
        (changed(data_offsets=(12, 28, 28)), "begin, end"),
        (changed(data_offsets=(12.0, 28.0)), "begin, end"),
        (changed(data_offsets=(-4, 12)), "begin, end"),
        (changed(data_offsets=(12, 2**63)), "begin, end"),
        (changed(shape=[True, 4]), "list of sizes"),
        (changed(shape=["4"]), "list of sizes"),
        (changed(shape=[1] * 8 + [4]), "list of sizes"),
        (changed(dtype="F12"), "unknown dtype"),
        (changed(dtype=["F32"]), "unknown dtype"),
        (changed(more=1), "or has more"),
    ],
)
def test_a_wrong_entry_is_refused_by_name(body: bytes, reason: str) -> None:
    message = refusal(body)
    assert reason in message
    assert "'b'" in message


@pytest.mark.parametrize(
    "text",
    [
        b'{"a": {"dtype": "F16", "shape": [NaN], "data_offsets": [0, 2]}}',
        b'{"a": {"dtype": "F16", "shape": [1], "data_offsets": [0, Infinity]}}',
        b'{"a": {"dtype": "F16", "shape": [1], "data_offsets": [0, -Infinity]}}',
        b'{"a": 1, "a": 2}',
        b'{"a": ' + b"[" * 100_000,
        b'{"a": ' + b"9" * 5000 + b"}",
        b'{"\xff": 1}',
        '{"a": 1}'.encode("utf-16-le"),
        b'{"a": 1',
        b'{"a": 1} x',
    ],
    ids=lambda text: ascii(text[:40]),
)
def test_a_header_that_is_no_strict_json_is_refused(text: bytes) -> None:
    assert "strict JSON" in refusal(with_header(text, bytes(2)))


def test_an_infinite_size_is_refused() -> None:
    text = b'{"a": {"dtype": "F16", "shape": [1e999], "data_offsets": [0, 2]}}'
    assert "list of sizes" in refusal(with_header(text, bytes(2)))


@pytest.mark.parametrize("metadata", [1, [], {"epoch": 3}, {"tags": {"a": "b"}}])
def test_metadata_that_is_no_table_of_texts_is_refused(metadata: object) -> None:
    assert "__metadata__" in refusal(with_header({"__metadata__": metadata}))


def test_a_monstrous_name_does_not_fill_the_message() -> None:
    assert len(refusal(with_header({"\ud800" * 50_000: 1}))) < 300


def test_a_file_that_shrinks_while_it_is_read_is_refused() -> None:
    @dataclass(frozen=True)
    class Shrunk:
        size: int = 2**20

        def read_range(self, offset: int, length: int) -> bytes:
            return with_header(b'{"a": 1' + b" " * 1000)[offset:][:500]

    with pytest.raises(LoraUnreadable, match="ends inside its header"):
        read_header(Shrunk())


def outcome(body: bytes) -> Header | None:
    try:
        return read(body)
    except LoraUnreadable:
        return None


GOOD = safetensors(TWO, {"software": "own"})


@settings(max_examples=300)
@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    outcome(body)
    outcome(with_header(b"{" + body))


@settings(max_examples=300)
@given(st.integers(0, len(GOOD) - 1), st.integers(0, 255))
def test_any_one_byte_changed_is_read_or_refused(position: int, value: int) -> None:
    header = outcome(GOOD[:position] + bytes([value]) + GOOD[position + 1 :])
    if header is not None:
        assert sum(each.length for each in header.tensors.values()) == 28


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


@settings(max_examples=300)
@given(
    st.dictionaries(
        st.text(max_size=8),
        JSON_VALUES
        | st.fixed_dictionaries(
            {
                "dtype": st.sampled_from(["F16", "U8", "Q4"]) | JSON_VALUES,
                "shape": st.lists(st.integers(0, 3), max_size=3) | JSON_VALUES,
                "data_offsets": st.lists(st.integers(0, 30), min_size=2, max_size=2) | JSON_VALUES,
            }
        ),
        max_size=3,
    ),
    st.integers(0, 40),
)
def test_any_table_is_read_or_refused(table: dict[str, object], length: int) -> None:
    header = outcome(with_header(table, bytes(length)))
    if header is not None:
        assert sum(each.length for each in header.tensors.values()) == length


def test_an_archive_is_to_be_unpacked_and_a_pickle_is_not() -> None:
    hints = []
    for inside in (b"ann.safetensors", b"archive/data.pkl"):
        with pytest.raises(LoraUnreadable) as caught:
            read_header(BytesRanges(b"PK\x03\x04" + bytes(26) + inside + bytes(60)))
        hints.append(str(caught.value.hint))

    assert "Unpack it" in hints[0]
    assert "Save the LoRA as safetensors" in hints[1]
