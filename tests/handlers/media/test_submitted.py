import io
import struct
import zlib
from collections.abc import Callable
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from config.errors import InvalidInput
from handlers.media import png
from handlers.media.submitted import MAX_INTAKE_BYTES, MAX_INTAKE_PIXELS, MAX_KEPT_PIXELS, intake
from tests.support.pictures import encoded, heic, heic_header_alone, plain_webp, with_scans


def sample(size: tuple[int, int] = (64, 48)) -> Image.Image:
    return Image.radial_gradient("L").resize(size).convert("RGB")


def refusal(body: bytes) -> InvalidInput:
    with pytest.raises(InvalidInput) as caught:
        intake(body)
    assert caught.value.hint
    assert "0x" not in caught.value.message
    return caught.value


def declared_png(width: int, height: int) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return png.join([(b"IHDR", header), (b"IDAT", zlib.compress(bytes(1000))), (b"IEND", b"")])


@pytest.mark.parametrize(
    ("made", "extension"),
    [
        (lambda: encoded(sample()), "png"),
        (lambda: encoded(sample(), "JPEG"), "jpg"),
        (lambda: encoded(sample(), "WEBP"), "png"),
        (lambda: encoded(sample(), "AVIF"), "jpg"),
        (lambda: heic(sample()), "jpg"),
        (lambda: heic(sample().convert("RGBA")), "png"),
    ],
    ids=["png", "jpeg", "webp", "avif", "heic", "heic with alpha"],
)
def test_what_phones_and_programs_send_is_read(made: Callable[[], bytes], extension: str) -> None:
    found, plain = intake(made())

    assert found == extension
    taken = Image.open(io.BytesIO(plain)).convert("RGB")
    assert taken.size == (64, 48)
    middle, corner = taken.getpixel((32, 24)), taken.getpixel((0, 0))
    assert isinstance(middle, tuple)
    assert isinstance(corner, tuple)
    assert middle[0] < 30
    assert corner[0] > 200


def test_a_heic_under_the_name_of_a_jpeg_is_named_and_tells_no_address() -> None:
    error = refusal(heic_header_alone())

    assert error.message == "not a picture that can be read: a HEIC that is damaged or cut off"


def animation() -> bytes:
    second = Image.new("RGB", (64, 48))
    return encoded(sample(), "WEBP", save_all=True, append_images=[second])


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (bytes, "it is empty"),
        (lambda: b"hello", "no known format"),
        (lambda: encoded(sample(), "GIF"), "a GIF"),
        (lambda: encoded(sample(), "TIFF"), "a TIFF"),
        (lambda: encoded(sample(), "JPEG")[:-300], "a JPEG that is damaged"),
        (lambda: encoded(sample(), "AVIF")[:-60], "an? AVIF that is damaged"),
        (animation, "the WebP is an animation"),
        (lambda: declared_png(9000, 9000), "the PNG has 9000 x 9000 pixels, more than 64 Mi"),
        (lambda: declared_png(40_000, 40_000), "the PNG has more pixels than any"),
        (
            lambda: plain_webp(6400, 5000),
            "the WebP has 6400 x 5000 pixels, more than 20 Mi",
        ),
        (lambda: with_scans(300), "too many scans: more than 32"),
        (lambda: bytes(MAX_INTAKE_BYTES + 1), "more than"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_each_reason_has_its_own_words(made: Callable[[], bytes], said: str) -> None:
    body = made()
    with pytest.raises(InvalidInput, match=said) as caught:
        intake(body)
    assert caught.value.hint


def test_a_jpeg_of_few_scans_and_many_pixels_is_refused_by_their_product() -> None:
    body = bytearray(with_scans(30, 64))
    at = body.index(b"\xff\xc2") + 5
    body[at : at + 4] = struct.pack(">HH", 8000, 8000)

    with pytest.raises(InvalidInput, match="too many scans: 30, of 8000 x 8000"):
        intake(bytes(body))


@pytest.mark.parametrize(
    ("made", "size"),
    [
        (lambda: encoded(Image.new("L", (8064, 6048), 90), "JPEG"), (4032, 3024)),
        (lambda: encoded(Image.new("1", (8064, 6048))), (4032, 3024)),
        (lambda: encoded(Image.new("I;16", (6001, 4001), 40_000)), (3001, 2001)),
    ],
    ids=["jpeg", "png", "16 bit, of odd size"],
)
def test_a_picture_of_48_megapixels_is_scaled_down(
    made: Callable[[], bytes], size: tuple[int, int]
) -> None:
    taken = Image.open(io.BytesIO(intake(made())[1]))

    assert taken.size == size
    assert taken.width * taken.height <= MAX_KEPT_PIXELS


@pytest.mark.thorough  # a HEIC of this size takes seconds to make
def test_a_heic_of_48_megapixels_is_scaled_down() -> None:
    assert Image.open(io.BytesIO(intake(heic(sample((8064, 6048))))[1])).size == (4032, 3024)


def test_a_scaled_picture_is_turned_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    body = encoded(Image.new("1", (6000, 4000)), exif=exif.tobytes())

    assert Image.open(io.BytesIO(intake(body)[1])).size == (2000, 3000)


def test_every_format_that_is_read_has_a_limit_of_its_own() -> None:
    assert set(MAX_INTAKE_PIXELS) == {"PNG", "JPEG", "WebP", "HEIC", "AVIF"}
    assert min(MAX_INTAKE_PIXELS.values()) >= MAX_KEPT_PIXELS


@cache
def whole_pictures() -> list[bytes]:
    return [encoded(sample(), "AVIF"), heic(sample()), encoded(sample(), "WEBP"), encoded(sample())]


@settings(max_examples=100, deadline=None)
@given(st.deferred(lambda: st.sampled_from(whole_pictures())), st.data())
def test_corrupted_bytes_give_a_picture_or_a_refusal_without_an_address(
    whole: bytes, data: st.DataObject
) -> None:
    body = bytearray(whole)
    for at in data.draw(st.lists(st.integers(12, len(body) - 1), min_size=1, max_size=4)):
        body[at] = data.draw(st.integers(0, 255))
    try:
        _, plain = intake(bytes(body))
    except InvalidInput as error:
        said = error.message
    else:
        Image.open(io.BytesIO(plain)).load()
        said = ""
    assert "0x" not in said
