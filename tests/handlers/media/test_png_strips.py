import hashlib
import io
import os
import zlib
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from handlers.media import png
from handlers.media.png_strips import STRIPS, chunks, encode


def noise(width: int, height: int) -> bytes:
    return Image.effect_noise((width * 3, height), 90).tobytes()


def inflated(parts: Iterable[png.Chunk]) -> bytes:
    """By the standard library's zlib, which looks at the checksum, as Pillow does not."""
    return zlib.decompress(b"".join(data for kind, data in parts if kind == b"IDAT"))


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (640, 1), (64, 65), (333, 128)])
def test_pillow_reads_the_same_pixels(size: tuple[int, int]) -> None:
    pixels = noise(*size)

    with Image.open(io.BytesIO(encode(pixels, *size))) as image:
        assert (image.size, image.mode, image.tobytes()) == (size, "RGB", pixels)


@given(st.binary(min_size=3 * 5 * 7, max_size=3 * 5 * 7), st.integers(1, 9))
def test_any_pixels_survive_in_any_number_of_strips(pixels: bytes, strips: int) -> None:
    body = encode(pixels, 5, 7, strips=strips)
    with Image.open(io.BytesIO(body)) as image:
        assert image.tobytes() == pixels
    assert len(inflated(png.chunks(body))) == 7 * (1 + 3 * 5), "with its checksum"


def test_the_checksum_of_large_strips_is_that_of_the_whole() -> None:
    pixels = b"\xff\x00" * (3 * 700 * 150)
    assert len(inflated(chunks(pixels, 700, 300))) == 300 * (1 + 3 * 700)


def test_pixels_with_another_sha256_than_told_are_refused() -> None:
    pixels = noise(8, 8)
    assert encode(pixels, 8, 8, sha256=hashlib.sha256(pixels).hexdigest()) == encode(pixels, 8, 8)
    with pytest.raises(ValueError, match="not those that were saved"):
        encode(pixels, 8, 8, sha256="0" * 64)


def test_it_is_a_png_to_the_last_checksum() -> None:
    body = encode(noise(20, 20), 20, 20)

    kinds = [kind for kind, _ in png.chunks(body)]
    assert kinds == [b"IHDR", *[b"IDAT"] * (STRIPS + 1), b"IEND"]
    assert png.is_plain(tuple(png.chunks(body)))


def test_equal_pixels_give_equal_bytes() -> None:
    pixels = noise(50, 50)

    assert encode(pixels, 50, 50) == encode(pixels, 50, 50)


def test_the_bytes_do_not_depend_on_the_number_of_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    pixels, made = noise(40, 70), set()
    for cores in (1, 3, 64, None):
        monkeypatch.setattr(os, "cpu_count", lambda cores=cores: cores)
        made.add(encode(pixels, 40, 70))
    assert len(made) == 1


@pytest.mark.parametrize("size", [(0, 0), (2, 2), (4, 1)])
def test_pixels_of_another_size_are_refused(size: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="pixels of RGB"):
        encode(b"\0" * 9, *size)


def test_no_pixels_are_no_picture() -> None:
    with pytest.raises(ValueError, match="pixels of RGB"):
        encode(b"", 0, 0)
