import io

import pytest
from PIL import Image

from handlers.media.jpeg import scans
from tests.support.pictures import with_scans


def encoded(*, progressive: bool) -> bytes:
    out = io.BytesIO()
    Image.effect_noise((64, 64), 80).convert("RGB").save(out, "JPEG", progressive=progressive)
    return out.getvalue()


def test_a_plain_jpeg_has_one_scan_and_a_progressive_one_has_several() -> None:
    assert scans(encoded(progressive=False), 100) == 1
    assert scans(encoded(progressive=True), 100) == 10


def test_scans_are_counted_one_beyond_the_most_and_no_further() -> None:
    assert scans(with_scans(300), 32) == 33


def test_a_preview_in_the_metadata_and_a_second_picture_do_not_count() -> None:
    body = encoded(progressive=False)
    preview = b"Exif\0\0" + encoded(progressive=True)
    segment = b"\xff\xe1" + (len(preview) + 2).to_bytes(2, "big") + preview

    assert scans(body[:2] + segment + body[2:], 100) == 1
    assert scans(body + encoded(progressive=True), 100) == 1


@pytest.mark.parametrize("body", [b"", b"\xff\xd8", b"\xff\xd8\xff\xff\xff\xff\xff", b"\xff\xd8ab"])
def test_what_is_cut_off_has_the_scans_that_there_are(body: bytes) -> None:
    assert scans(body, 100) == 0
