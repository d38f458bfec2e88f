"""What a file is by its first bytes, whatever its name says."""

from dataclasses import dataclass

READ = ("PNG", "JPEG", "WebP", "HEIC", "AVIF")
"""Formats of submitted pictures that are read."""

_SIGNATURES: tuple[tuple[int, bytes, str], ...] = (
    (0, b"\x89PNG\r\n\x1a\n", "PNG"),
    (0, b"\xff\xd8\xff", "JPEG"),
    (8, b"WEBP", "WebP"),
    (0, b"GIF87a", "GIF"),
    (0, b"GIF89a", "GIF"),
    (0, b"II*\0", "TIFF or camera raw"),
    (0, b"MM\0*", "TIFF or camera raw"),
    (0, b"FUJIFILMCCD-RAW", "camera raw"),
    (0, b"BM", "BMP"),
    (0, b"\0\0\1\0", "ICO"),
    (0, b"8BPS", "PSD"),
    (0, b"qoif", "QOI"),
    (0, b"\xff\x0a", "JPEG XL"),
    (0, b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
    (0, b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000"),
    (0, b"%PDF-", "PDF"),
    (0, b"PK\3\4", "ZIP archive"),
    (0, b"\x1f\x8b", "gzip archive"),
    (0, b"\x1aE\xdf\xa3", "WebM or Matroska video"),
    (8, b"AVI ", "AVI video"),
)
_TEXTS: tuple[tuple[bytes, str], ...] = (
    (b"<svg", "SVG"),
    (b"<!doctype html", "HTML page"),
    (b"<html", "HTML page"),
    (b"<?xml", "XML document"),
    (b"{", "JSON document"),
)
_BRANDS = {
    **dict.fromkeys((b"heic", b"heix", b"heim", b"heis", b"mif1", b"mif2"), "HEIC"),
    **dict.fromkeys((b"hevc", b"hevx", b"msf1"), "HEIC sequence"),
    b"avif": "AVIF",
    b"avis": "AVIF sequence",
    b"crx ": "camera raw",
}
"""Of ISO base media files, by their major brand."""


@dataclass(frozen=True)
class FileFormat:
    name: str

    @property
    def is_read(self) -> bool:
        return self.name in READ


def format_of(body: bytes) -> FileFormat | None:
    """None for what is known by no first bytes."""
    if body[4:8] == b"ftyp":
        return FileFormat(_iso_media(body))
    for at, signature, name in _SIGNATURES:
        if body.startswith(signature, at):
            return FileFormat(name)
    text = body[:256].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    for beginning, name in _TEXTS:
        if text.startswith(beginning):
            return FileFormat(name)
    return None


def _iso_media(body: bytes) -> str:
    """The major brand says what it is; `mif1` alone says still picture, and the compatible brands
    say which."""
    major = body[8:12]
    size = min(int.from_bytes(body[:4], "big"), 256)
    compatible = {body[at : at + 4] for at in range(16, size, 4)}
    if major in (b"mif1", b"mif2", b"msf1") and compatible & {b"avif", b"avis"}:
        return "AVIF" if b"avif" in compatible else "AVIF sequence"
    return _BRANDS.get(major, "MP4 or QuickTime video")
