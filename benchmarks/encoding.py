"""What a PNG of bare pixels takes, 1024 x 1024, by filter and by what deflates: the processor's ms,
thousands of bytes, and ms in which Pillow decodes it; then the worker's own, with its filter and
checksums.

    python -m benchmarks.encoding [--quick] [PICTURE …]

Beside noise and a drawing these are photographs that ship with scikit-image, where it is installed,
mirrored to the size. zlib-ng is tried where its package is installed.
"""

import argparse
import io
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from struct import pack
from typing import Any

import numpy
from isal import isal_zlib
from PIL import Image

from benchmarks.setting import machine, row, title
from handlers.media import png, png_strips

SIDE = 1024
DRAWING = Path(__file__).parents[1] / "docs" / "demo.png"
PHOTOGRAPHS = ("astronaut.png", "coffee.png", "chelsea.png", "motorcycle_left.png")
WIDTHS = (9, 26, 8, 8, 8)

Deflate = Callable[[Any], bytes]
"""Of filtered rows, as one zlib stream."""


def filtered(rows: Any) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Each filter's name, and rows by it."""
    left, above = numpy.zeros_like(rows), numpy.zeros_like(rows)
    left[:, 3:], above[1:] = rows[:, :-3], rows[:-1]
    yield "None", lambda: _rows(0, rows)
    yield "Sub", lambda: _rows(1, rows - left)
    yield "Up", lambda: _rows(2, rows - above)
    yield "Average", lambda: _rows(3, rows - (((left ^ above) >> 1) + (left & above)))
    yield "Paeth", lambda: _rows(4, rows - paeth(left, above))


def paeth(left: Any, above: Any) -> Any:
    """The one of three neighbours that is nearest to left + above - corner (PNG's filter 4)."""
    corner = numpy.zeros_like(left)
    corner[1:] = left[:-1]
    a, b, c = (each.astype(numpy.int16) for each in (left, above, corner))
    by = [abs(b - c), abs(a - c), abs(a + b - 2 * c)]
    is_left = (by[0] <= by[1]) & (by[0] <= by[2])
    return numpy.where(is_left, left, numpy.where(by[1] <= by[2], above, corner))


def _rows(kind: int, differences: Any) -> Any:
    return numpy.insert(differences, 0, kind, axis=1)


def by_zlib(library: Any, level: int, strategy: int) -> Deflate:
    def deflate(rows: Any) -> bytes:
        made = library.compressobj(level, zlib.DEFLATED, zlib.MAX_WBITS, 8, strategy)
        return bytes(made.compress(rows) + made.flush())

    return deflate


def deflates() -> Mapping[str, Deflate]:
    found = {
        "zlib 1, run lengths": by_zlib(zlib, 1, zlib.Z_RLE),
        "zlib 1, Huffman": by_zlib(zlib, 1, zlib.Z_HUFFMAN_ONLY),
    }
    if find_spec("zlib_ng") is not None:
        ng = import_module("zlib_ng.zlib_ng")
        found |= {
            "zlib-ng 1": by_zlib(ng, 1, zlib.Z_DEFAULT_STRATEGY),
            "zlib-ng 2": by_zlib(ng, 2, zlib.Z_DEFAULT_STRATEGY),
            "zlib-ng 1, run lengths": by_zlib(ng, 1, zlib.Z_RLE),
        }
    return found | {f"ISA-L {level}": by_zlib(isal_zlib, level, 0) for level in range(4)}


def pictures(named: Sequence[Path]) -> Iterator[tuple[str, Any]]:
    yield "noise", numpy.random.default_rng(1).integers(0, 256, (SIDE, SIDE, 3), numpy.uint8)
    yield "drawing", _square(DRAWING)
    spec = find_spec("skimage")
    folder = None if spec is None or spec.origin is None else Path(spec.origin).parent / "data"
    shipped = () if folder is None else [folder / name for name in PHOTOGRAPHS]
    for path in [*filter(Path.is_file, shipped), *named]:
        yield path.stem[:9], _square(path)


def packed_by_zlib(rows: Any, first: int, last: int) -> tuple[bytes, int, int]:
    """In the place of `png_strips._packed`, what it was before: zlib's run lengths behind Sub."""
    differences = rows[first:last].copy()
    differences[:, 3:] -= rows[first:last, :-3]
    filtered = _rows(1, differences)
    made = zlib.compressobj(1, zlib.DEFLATED, -zlib.MAX_WBITS, 8, zlib.Z_RLE)
    body = made.compress(filtered) + made.flush(zlib.Z_FULL_FLUSH)
    return body, zlib.adler32(filtered), filtered.size


def _square(path: Path) -> Any:
    with Image.open(path) as image:
        pixels = numpy.asarray(image.convert("RGB"))
    down, right = (max(0, SIDE - length) for length in pixels.shape[:2])
    return numpy.pad(pixels, ((0, down), (0, right), (0, 0)), "symmetric")[:SIDE, :SIDE].copy()


def timed(call: Callable[[], Any], times: int) -> tuple[float, Any]:
    """The least time of them in ms, and what was made. It is the processor's, in all threads, as
    others may use the machine's cores."""
    taken, made = [], None
    for _ in range(times):
        began = time.process_time()
        made = call()
        taken.append(1e3 * (time.process_time() - began))
    return min(taken), made


def tell(name: str, how: str, ms: float, body: bytes, pixels: Any, times: int) -> None:
    took, image = timed(lambda: Image.open(io.BytesIO(body)).convert("RGB"), times)
    if image.tobytes() != pixels.tobytes():
        raise SystemExit(f"{name}, {how}: other pixels")
    row(name, how, f"{ms:.1f}", f"{len(body) / 1e3:.0f}", f"{took:.1f}", widths=WIDTHS)


def measure(name: str, pixels: Any, times: int) -> None:
    def by_pillow() -> bytes:
        out = io.BytesIO()
        Image.fromarray(pixels).save(out, "PNG", compress_level=4)
        return out.getvalue()

    tell(name, "Pillow 4", *timed(by_pillow, times), pixels, times)
    header = pack(">IIBBBBB", SIDE, SIDE, 8, 2, 0, 0, 0)
    for kind, rows_of in filtered(pixels.reshape(SIDE, -1)):
        rows = rows_of()
        for how, deflate in deflates().items():
            ms, body = timed(partial(deflate, rows), times)
            whole = png.join([(b"IHDR", header), (b"IDAT", body), (b"IEND", b"")])
            tell(name, f"{kind} {how}", ms, whole, pixels, times)
    bare = pixels.tobytes()
    own = timed(lambda: png_strips.encode(bare, SIDE, SIDE), times)
    tell(name, "the worker's own", *own, pixels, times)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("pictures", nargs="*", type=Path, help="more of them")
    parser.add_argument("--quick", action="store_true", help="each thrice, not nine times")
    options = parser.parse_args(arguments)
    title(f"A PNG of {SIDE} x {SIDE} pixels ({machine()})")
    row("picture", "filter and deflate", "ms", "KB", "decode", widths=WIDTHS)
    for name, pixels in pictures(options.pictures):
        measure(name, pixels, 3 if options.quick else 9)


if __name__ == "__main__":
    main()
