import hashlib
import io
import struct
import zlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, ImageDraw
from PIL.PngImagePlugin import PngInfo

from config.errors import InvalidInput, OutputInvalid
from handlers.kinds.base import OutputFormat, Pixels
from handlers.media import images, png
from handlers.media.images import finish, inspect, intake
from tests.support.xmp import read_provenance

FORMATS: list[OutputFormat] = ["png", "jpeg", "webp"]
TRAINED = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"


def sample(mode: str = "RGB", size: tuple[int, int] = (64, 48)) -> Image.Image:
    image = Image.radial_gradient("L").resize(size).convert("RGB")
    ImageDraw.Draw(image).rectangle((5, 5, 20, 30), fill=(200, 30, 90))
    if mode == "RGBA":
        image.putalpha(Image.linear_gradient("L").resize(size))
        return image
    return image.convert(mode)


def encoded(image: Image.Image, fmt: str = "PNG", **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, fmt, **options)
    return out.getvalue()


def decoded(body: bytes) -> Image.Image:
    return Image.open(io.BytesIO(body))


def as_comfyui_saves_it(image: Image.Image | None = None) -> bytes:
    info = PngInfo()
    info.add_text("prompt", '{"6": {"inputs": {"text": "a secret garden"}}}')
    info.add_text("workflow", '{"nodes": []}')
    return encoded(image or sample(), pnginfo=info, compress_level=4)


# Finishing outputs


@pytest.mark.parametrize("fmt", FORMATS)
def test_every_format_says_who_made_it_and_not_from_what(fmt: OutputFormat) -> None:
    done = finish(as_comfyui_saves_it(), fmt=fmt, job_id="job-1")

    assert read_provenance(done.body) == {"digital_source_type": TRAINED, "job_id": "job-1"}
    assert b"secret garden" not in done.body
    assert b"workflow" not in done.body


@pytest.mark.parametrize("fmt", FORMATS)
@pytest.mark.parametrize(
    "prompt", ["a fox", "quotes \" ' & <b>\r\n\ttabs", "büro 東京 🦊", "nul \x00 and \ud800 half"]
)
def test_the_prompt_is_written_only_when_given(fmt: OutputFormat, prompt: str) -> None:
    done = finish(as_comfyui_saves_it(), fmt=fmt, job_id="job-1", prompt=prompt)

    expected = prompt.replace("\x00", "\ufffd").replace("\ud800", "\ufffd")
    assert read_provenance(done.body)["prompt"] == expected


@pytest.mark.parametrize("fmt", FORMATS)
def test_a_prompt_longer_than_a_jpeg_can_hold_is_cut(fmt: OutputFormat) -> None:
    done = finish(as_comfyui_saves_it(), fmt=fmt, job_id="job-1", prompt="&" * 100_000)

    assert read_provenance(done.body)["prompt"] == "&" * 8000


@pytest.mark.parametrize("fmt", FORMATS)
def test_equal_arguments_give_equal_bytes(fmt: OutputFormat) -> None:
    one, other = (finish(as_comfyui_saves_it(), fmt=fmt, job_id="j", prompt="p") for _ in "12")

    assert one == other


@pytest.mark.parametrize(
    ("fmt", "extension", "signature"),
    [("png", "png", b"\x89PNG"), ("jpeg", "jpg", b"\xff\xd8"), ("webp", "webp", b"RIFF")],
)
def test_the_format_is_the_one_asked_for(
    fmt: OutputFormat, extension: str, signature: bytes
) -> None:
    done = finish(as_comfyui_saves_it(), fmt=fmt, job_id="j")

    assert done.body.startswith(signature)
    assert (done.extension, done.content_type) == (extension, f"image/{fmt}")
    assert (done.width, done.height) == (64, 48)
    assert inspect(done.body).format == fmt


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_a_png_keeps_its_compressed_pixels(mode: str) -> None:
    before = as_comfyui_saves_it(sample(mode))

    after = finish(before, fmt="png", job_id="j").body

    assert decoded(after).tobytes() == sample(mode).tobytes()
    stream = [data for kind, data in png.chunks(before) if kind == b"IDAT"]
    assert [data for kind, data in png.chunks(after) if kind == b"IDAT"] == stream


def test_a_png_keeps_its_colour_profile_and_loses_all_other_chunks() -> None:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    info = PngInfo()
    for kind in (b"tEXt", b"zTXt", b"tIME", b"prVt"):
        info.add(kind, b"Comment\0\0hidden!")
    before = encoded(sample(), pnginfo=info, icc_profile=srgb, exif=b"Exif\0\0hidden")

    after = finish(before, fmt="png", job_id="j").body

    assert [kind for kind, _ in png.chunks(after)] == [b"IHDR", b"iTXt", b"iCCP", b"IDAT", b"IEND"]


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "I;16"])
@pytest.mark.parametrize("fmt", FORMATS)
def test_unusual_png_modes_come_out_as_8_bit_rgb_that_looks_the_same(
    mode: str, fmt: OutputFormat
) -> None:
    if mode == "I;16":
        source, like = Image.new("I;16", (64, 48), 40_000), Image.new("RGB", (64, 48), (156,) * 3)
    else:
        source = sample("RGB").convert(mode)
        like = source.convert("RGB")

    after = decoded(finish(encoded(source), fmt=fmt, job_id="j").body)

    assert after.mode in ("RGB", "RGBA")
    if fmt == "png":
        assert after.convert("RGB").tobytes() == like.tobytes()


def test_a_palette_with_transparency_keeps_it_in_png_and_shows_white_in_jpeg() -> None:
    source = Image.new("P", (16, 16), 0)
    source.putpalette([255, 0, 0, 0, 0, 255])
    source.paste(1, (0, 0, 8, 16))
    body = encoded(source, transparency=1)

    as_png = decoded(finish(body, fmt="png", job_id="j").body)
    as_jpeg = decoded(finish(body, fmt="jpeg", job_id="j").body)

    assert as_png.getpixel((2, 2)) == (0, 0, 255, 0)
    assert as_png.getpixel((12, 2)) == (255, 0, 0, 255)
    shown = as_jpeg.getpixel((2, 8))
    assert isinstance(shown, tuple)
    assert min(shown) > 250


def test_a_cmyk_jpeg_comes_out_as_rgb() -> None:
    body = encoded(Image.new("CMYK", (32, 32), (0, 255, 255, 0)), "JPEG")

    red = decoded(finish(body, fmt="png", job_id="j").body).getpixel((5, 5))

    assert isinstance(red, tuple)
    assert red[0] > 200
    assert max(red[1:3]) < 60


def test_what_follows_the_end_of_a_png_is_cut_off() -> None:
    body = as_comfyui_saves_it() + b"PK\x03\x04<?php system($_GET[0]); ?>"

    assert b"php" not in finish(body, fmt="png", job_id="j").body


# Refusing outputs


def test_a_picture_of_another_size_than_asked_is_refused_with_both() -> None:
    with pytest.raises(OutputInvalid, match="64 x 48, not 1024 x 1024"):
        inspect(encoded(sample()), expect=(1024, 1024))
    with pytest.raises(OutputInvalid, match="64 x 48"):
        finish(encoded(sample()), fmt="png", job_id="j", expect=(48, 64))
    assert inspect(encoded(sample()), expect=(64, 48)).width == 64


def huge_png(side: int) -> bytes:
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return png.join([(b"IHDR", header), (b"IDAT", zlib.compress(bytes(1000))), (b"IEND", b"")])


def huge_webp() -> bytes:
    body = bytearray(encoded(sample("RGBA"), "WEBP", exif=b"Exif\0\0"))
    assert body[12:16] == b"VP8X"
    body[24:30] = b"\xfe\x3f\0" * 2
    return bytes(body)


ANIMATION: dict[str, Any] = {"save_all": True, "append_images": [sample("L").convert("RGB")]}

BAD = {
    "nothing": b"",
    "text": b"<html>502 Bad Gateway</html>",
    "gif": encoded(sample(), "GIF"),
    "tiff": encoded(sample(), "TIFF"),
    "png signature alone": png.SIGNATURE,
    "half a png": encoded(sample())[:-400],
    "png without its end": encoded(sample())[:-12],
    "png with a flipped bit": encoded(sample()).replace(b"IDAT", b"IDAU"),
    "png of no pixels": huge_png(64),
    "palette png without a palette": png.join(
        part for part in png.chunks(encoded(sample("P"))) if part[0] != b"PLTE"
    ),
    "png of 100 megapixels": huge_png(10_000),
    "png of 2 gigapixels": huge_png(45_000),
    "animated png": encoded(sample(), **ANIMATION),
    "half a jpeg": encoded(sample(), "JPEG")[:-300],
    "half a webp": encoded(sample(), "WEBP")[:-100],
    "webp of 268 megapixels": huge_webp(),
    "animated webp": encoded(sample(), "WEBP", **ANIMATION),
}


@pytest.mark.parametrize("body", BAD.values(), ids=BAD.keys())
def test_what_is_no_whole_picture_is_refused(body: bytes) -> None:
    with pytest.raises(OutputInvalid):
        inspect(body)
    with pytest.raises(OutputInvalid):
        finish(body, fmt="png", job_id="j")
    with pytest.raises(InvalidInput):
        intake(body)


@pytest.mark.parametrize("fmt", ["PNG", "JPEG", "WEBP"])
def test_every_truncation_is_refused(fmt: str) -> None:
    whole = encoded(sample(), fmt)
    for length in range(0, len(whole) - 2, 7):
        with pytest.raises(OutputInvalid):
            inspect(whole[:length])


WHOLE = [
    as_comfyui_saves_it(),
    encoded(sample("P")),
    encoded(sample("RGBA"), "WEBP"),
    encoded(sample(), "JPEG", progressive=True),
]


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(WHOLE), st.data())
def test_corrupted_bytes_give_a_picture_or_a_refusal_and_nothing_else(
    whole: bytes, data: st.DataObject
) -> None:
    body = bytearray(whole)
    for at in data.draw(st.lists(st.integers(0, len(body) - 1), min_size=1, max_size=4)):
        body[at] = data.draw(st.integers(0, 255))
    try:
        done = finish(bytes(body), fmt="webp", job_id="j")
    except OutputInvalid:
        return
    assert inspect(done.body).format == "webp"


def test_no_provenance_is_read_from_a_packet_that_declares_entities() -> None:
    evil = b'<!DOCTYPE x [<!ENTITY a "aaaa">]><x:xmpmeta xmlns:x="adobe:ns:meta/"/>'
    body = png.join(png.with_xmp(png.chunks(encoded(sample())), evil))

    assert read_provenance(body) == {}
    assert read_provenance(encoded(sample())) == {}


# Taking pictures in


def oriented(fmt: str) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn right to stand upright
    exif[0x010F] = "Spy Camera"
    exif.get_ifd(0x8825)[1] = "N"
    return encoded(sample(), fmt, exif=exif.tobytes())


@pytest.mark.parametrize(("fmt", "extension"), [("PNG", "png"), ("JPEG", "jpg"), ("WEBP", "png")])
def test_a_submitted_picture_is_turned_upright_and_loses_its_metadata(
    fmt: str, extension: str
) -> None:
    found, body = intake(oriented(fmt))

    assert found == extension
    taken = decoded(body)
    assert taken.size == (48, 64)
    assert len(taken.getexif()) == 0
    assert b"Spy" not in body


def test_a_submitted_png_keeps_its_pixels_and_its_transparency() -> None:
    _, body = intake(encoded(sample("RGBA")))

    assert decoded(body).tobytes() == sample("RGBA").tobytes()


def test_a_submitted_jpeg_loses_little() -> None:
    before = encoded(sample(), "JPEG", quality=95)
    _, body = intake(before)

    difference = max(
        abs(one - other)
        for one, other in zip(decoded(before).tobytes(), decoded(body).tobytes(), strict=True)
    )
    assert difference <= 16


def test_taking_the_same_picture_twice_gives_the_same_bytes() -> None:
    assert intake(oriented("JPEG")) == intake(oriented("JPEG"))


def test_a_file_hidden_behind_a_submitted_picture_is_lost() -> None:
    for fmt in ("PNG", "JPEG"):
        _, body = intake(encoded(sample(), fmt) + b"PK\x03\x04 payload")
        assert b"payload" not in body


def test_a_submitted_file_beyond_the_byte_limit_is_not_even_opened() -> None:
    with pytest.raises(InvalidInput, match="more than"):
        intake(encoded(sample()) + bytes(images.MAX_INTAKE_BYTES))


@pytest.mark.parametrize("fmt", ["png", "jpeg", "webp"])
def test_bare_pixels_are_delivered_as_what_is_asked_for(fmt: OutputFormat) -> None:
    rgb = Image.effect_noise((48, 16), 60).convert("RGB").tobytes()

    done = finish(Pixels(48, 16, rgb), fmt=fmt, job_id="job-1", expect=(48, 16))

    with Image.open(io.BytesIO(done.body)) as image:
        assert (image.format, image.size) == (fmt.upper(), (48, 16))
        assert fmt != "png" or image.tobytes() == rgb
    assert (done.content_type, done.sha256) == (
        f"image/{fmt}",
        hashlib.sha256(done.body).hexdigest(),
    )


@pytest.mark.parametrize("fmt", ["png", "jpeg", "webp"])
def test_bare_pixels_that_are_not_those_that_were_saved_are_refused(fmt: OutputFormat) -> None:
    with pytest.raises(OutputInvalid, match="damaged"):
        finish(Pixels(1, 2, b"\0" * 6, sha256="0" * 64), fmt=fmt, job_id="job-1")


def test_bare_pixels_of_another_size_than_asked_are_refused() -> None:
    with pytest.raises(OutputInvalid, match="1 x 2"):
        finish(Pixels(1, 2, b"\0" * 6), fmt="png", job_id="job-1", expect=(2, 1))
