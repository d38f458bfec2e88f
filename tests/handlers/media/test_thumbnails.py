import io
import os

import pytest
from PIL import Image

from config.errors import InvalidInput
from handlers.media.submitted import MAX_INTAKE_BYTES
from handlers.media.thumbnails import LONGEST, MAX_BYTES, is_thumbnail, thumbnail
from tests.support.pictures import encoded, plain_webp

NOISE = encoded(Image.frombytes("RGB", (512, 512), os.urandom(512 * 512 * 3)))


def opened(body: bytes) -> Image.Image:
    return Image.open(io.BytesIO(body), formats=("WEBP",))


@pytest.mark.parametrize("size", [(1024, 512), (40, 900)])
def test_a_thumbnail_keeps_the_shape_of_its_picture(size: tuple[int, int]) -> None:
    extension, body = thumbnail(encoded(Image.new("RGB", size, "red")))
    small = opened(body)
    assert extension == "webp"
    assert max(small.size) == LONGEST
    assert small.width / small.height == pytest.approx(size[0] / size[1], rel=0.1)
    assert is_thumbnail(body)


def test_a_picture_that_is_small_already_is_not_made_larger() -> None:
    assert opened(thumbnail(encoded(Image.new("RGB", (20, 10))))[1]).size == (20, 10)


def test_whatever_the_picture_a_thumbnail_has_few_bytes_and_the_same_ones_again() -> None:
    _, body = thumbnail(NOISE)
    assert len(body) <= MAX_BYTES
    assert is_thumbnail(body)
    assert thumbnail(NOISE)[1] == body


def test_what_shows_through_is_white_and_a_palette_is_read() -> None:
    clear = opened(thumbnail(encoded(Image.new("RGBA", (64, 64), (0, 0, 0, 0))))[1])
    assert clear.mode == "RGB"
    assert min(clear.convert("L").tobytes()) > 250
    assert is_thumbnail(thumbnail(encoded(Image.new("P", (64, 64))))[1])


def test_a_picture_beyond_the_bounds_of_an_intake_is_refused() -> None:
    for body in (b"", b"<svg/>", NOISE[:-40], plain_webp(6000, 6000), bytes(MAX_INTAKE_BYTES + 1)):
        with pytest.raises(InvalidInput):
            thumbnail(body)


def test_bytes_that_cannot_be_a_thumbnail_are_told_apart() -> None:
    good = thumbnail(NOISE)[1]
    large = bytearray(good)
    large[26:28] = (LONGEST + 1).to_bytes(2, "little")
    strangers = (
        b"",
        good[:20],
        good + b"<script>",
        bytes(large),
        encoded(Image.new("RGB", (64, 64))),
        plain_webp(64, 64),
        encoded(Image.new("RGBA", (64, 64), (9, 9, 9, 9)), "WEBP"),
        encoded(Image.new("RGB", (4000, 4000)), "WEBP"),
    )
    assert [is_thumbnail(each) for each in strangers] == [False] * len(strangers)
