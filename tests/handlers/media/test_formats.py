import pytest

from handlers.media.formats import READ, format_of


def iso(major: bytes, *compatible: bytes) -> bytes:
    brands = b"".join(compatible)
    return (16 + len(brands)).to_bytes(4, "big") + b"ftyp" + major + bytes(4) + brands


@pytest.mark.parametrize(
    ("body", "name"),
    [
        (b"\x89PNG\r\n\x1a\n...", "PNG"),
        (b"\xff\xd8\xff\xe0....", "JPEG"),
        (b"RIFF\0\0\0\0WEBPVP8L", "WebP"),
        (iso(b"heic"), "HEIC"),
        (iso(b"mif1", b"mif1", b"heic"), "HEIC"),
        (iso(b"avif"), "AVIF"),
        (iso(b"mif1", b"mif1", b"avif"), "AVIF"),
        (iso(b"avis"), "AVIF sequence"),
        (iso(b"hevc"), "HEIC sequence"),
        (iso(b"qt  "), "MP4 or QuickTime video"),
        (iso(b"crx "), "camera raw"),
        (b"GIF89a", "GIF"),
        (b"II*\0", "TIFF or camera raw"),
        (b"BM....", "BMP"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
        (b"%PDF-1.7", "PDF"),
        (b"PK\3\4", "ZIP archive"),
        (b"\xef\xbb\xbf \n<SVG xmlns=", "SVG"),
        (b"<!DOCTYPE html><html>", "HTML page"),
        (b'{"error": "not found"}', "JSON document"),
    ],
)
def test_a_file_is_named_by_its_first_bytes(body: bytes, name: str) -> None:
    found = format_of(body)

    assert found is not None
    assert found.name == name
    assert found.is_read == (name in READ)


@pytest.mark.parametrize("body", [b"", b"hello", b"\0" * 64, b"\xff\xd8", iso(b"")[:6]])
def test_what_begins_like_nothing_known_has_no_name(body: bytes) -> None:
    assert format_of(body) is None
