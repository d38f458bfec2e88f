from io import BytesIO

import pytest
from PIL import Image, PngImagePlugin

from config.errors import OutputInvalid
from handlers.media.raw_outputs import finish
from tests.support.xmp import read_provenance

MP4 = b"\x00\x00\x00\x20ftypisom" + b"\x00" * 20
WEBM = b"\x1a\x45\xdf\xa3" + b"\x00" * 20


def image(fmt: str = "PNG", frames: int = 1) -> bytes:
    file = BytesIO()
    images = [Image.new("RGB", (8, 6), (n * 40, 0, 0)) for n in range(frames)]
    more = {"save_all": True, "append_images": images[1:]} if frames > 1 else {}
    info = PngImagePlugin.PngInfo()
    info.add_text("prompt", "a secret")
    images[0].save(file, fmt, **more, **({"pnginfo": info} if fmt == "PNG" else {}))
    return file.getvalue()


def test_a_still_picture_is_finished_like_any_other() -> None:
    done = finish(image(), "a_00001_.png", fmt=None, job_id="job")

    assert (done.width, done.height, done.content_type, done.extension) == (
        8,
        6,
        "image/png",
        "png",
    )
    assert b"a secret" not in done.body
    assert read_provenance(done.body)["job_id"] == "job"


def test_a_still_picture_is_converted_if_asked() -> None:
    done = finish(image(), "a.png", fmt="jpeg", job_id="job")

    assert (done.content_type, done.extension) == ("image/jpeg", "jpg")
    assert Image.open(BytesIO(done.body)).format == "JPEG"


@pytest.mark.parametrize(("fmt", "ending"), [("PNG", "png"), ("WEBP", "webp")])
def test_an_animation_is_delivered_as_it_is(fmt: str, ending: str) -> None:
    body = image(fmt, frames=3)
    done = finish(body, f"a_00001_.{ending}", fmt="jpeg", job_id="job")

    assert done.body == body
    assert (done.width, done.height) == (8, 6)
    assert (done.content_type, done.extension) == (f"image/{ending}", ending)


@pytest.mark.parametrize(("body", "ending"), [(MP4, "mp4"), (WEBM, "webm"), (MP4, "MP4")])
def test_a_video_is_delivered_as_it_is_and_has_no_size_of_its_own(body: bytes, ending: str) -> None:
    done = finish(body, f"a_00001_.{ending}", fmt="png", job_id="job")

    assert done.body == body
    assert (done.width, done.height) == (None, None)
    assert (done.content_type, done.extension) == (f"video/{ending.lower()}", ending.lower())


@pytest.mark.parametrize(
    ("body", "name"),
    [
        (WEBM, "a.mp4"),
        (MP4, "a.webm"),
        (b"", "a.mp4"),
        (b"text", "a.png"),
        (image()[:40], "a.png"),
        (image("WEBP", 3)[:30], "a.webp"),
        (b"<svg/>", "a.svg"),
        (b"", "a"),
        (image(), "a.safetensors"),
    ],
)
def test_what_is_not_what_its_name_says_is_refused(body: bytes, name: str) -> None:
    with pytest.raises(OutputInvalid):
        finish(body, name, fmt=None, job_id="job")
