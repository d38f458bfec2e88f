"""Pictures that cost their decoder much, made small."""

import io

from PIL import Image


def encoded(image: Image.Image, fmt: str = "PNG", **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, fmt, **options)
    return out.getvalue()


def with_scans(count: int, side: int = 512) -> bytes:
    """A progressive JPEG whose last scan, which refines and adds nothing, stands there again and
    again."""
    body = encoded(Image.new("L", (side, side), 128), "JPEG", progressive=True)
    last = body.rindex(b"\xff\xda")
    scan = body[last:-2]
    return body[:last] + scan * (count - body.count(b"\xff\xda") + 1) + body[-2:]


def plain_webp(width: int, height: int) -> bytes:
    """Lossless and of one colour: tens of bytes for any size."""
    return encoded(Image.new("RGB", (width, height), (90, 20, 30)), "WEBP", lossless=True, method=0)


def heic(image: Image.Image, fmt: str = "HEIF") -> bytes:
    import pillow_heif

    out = io.BytesIO()
    pillow_heif.from_pillow(image).save(out, format=fmt, quality=80)
    return out.getvalue()


def heic_header_alone() -> bytes:
    """What says HEIC, and zeros: as a copy that broke off under a JPEG's name."""
    return b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(508)
