"""Two sheets of the same views as one picture: a row a view, before and after. For people."""

import io
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw

from handlers.character_sheet.contact_sheet import (
    CELL,
    FAINT,
    GAP,
    GROUND,
    HEIGHT,
    INK,
    LARGE,
    SMALL,
    WIDTH,
)
from handlers.character_sheet.picture_text import broken, fitted, font, step

NAMES = 220
"""Pixels for the name of a view, to the left of its pictures."""
LABEL = 26
"""Pixels below a picture, for one line."""
SIDES = ("before", "after")
HEADING = 44
"""Pixels above the first row: which side a column is, and below it its job."""


@dataclass(frozen=True)
class PictureRow:
    """A view of both sheets."""

    name: str
    thumbnails: tuple[Image.Image | None, Image.Image | None]
    """As `contact_sheet.thumbnail` makes them; None where there is no picture."""
    lines: tuple[str, str]
    """What stands below each: its score, or why there is none."""


def side_by_side(
    title: str, jobs: tuple[str, str], words: Sequence[str], rows: Sequence[PictureRow]
) -> bytes:
    """A PNG. `words` stand below the title, each broken into lines where it is too long; `jobs`
    are the two sheets' ids, above their columns."""
    width = GAP + NAMES + 2 * (WIDTH + GAP)
    head = [line for text in words for line in broken(text, width - 2 * GAP, SMALL)]
    headings = 2 * GAP + step(LARGE) + len(head) * step(SMALL)
    begin = headings + HEADING
    height = begin + len(rows) * (HEIGHT + LABEL + GAP) + GAP
    picture = Image.new("RGB", (width, height), GROUND)
    draw = ImageDraw.Draw(picture)
    draw.text((GAP, GAP), fitted(title, width - 2 * GAP, LARGE), INK, font(LARGE))
    for at, line in enumerate(head):
        draw.text((GAP, GAP + step(LARGE) + at * step(SMALL)), line, FAINT, font(SMALL))
    for at, (side, job) in enumerate(zip(SIDES, jobs, strict=True)):
        left = _left(at)
        draw.text((left, headings), side, INK, font(SMALL))
        draw.text((left, headings + step(SMALL)), fitted(job, WIDTH, 14), FAINT, font(14))
    for at, row in enumerate(rows):
        _draw_row(picture, row, begin + at * (HEIGHT + LABEL + GAP))
    out = io.BytesIO()
    picture.save(out, "PNG", compress_level=6)
    return out.getvalue()


def _left(column: int) -> int:
    return GAP + NAMES + column * (WIDTH + GAP)


def _draw_row(picture: Image.Image, row: PictureRow, top: int) -> None:
    draw = ImageDraw.Draw(picture)
    draw.text((GAP, top), fitted(row.name, NAMES - GAP, SMALL), INK, font(SMALL))
    for at, (small, line) in enumerate(zip(row.thumbnails, row.lines, strict=True)):
        left = _left(at)
        draw.rectangle((left, top, left + WIDTH - 1, top + HEIGHT - 1), fill=CELL)
        if small is not None:
            corner = (left + (WIDTH - small.width) // 2, top + (HEIGHT - small.height) // 2)
            picture.paste(small, corner)
        draw.text((left, top + HEIGHT + 6), fitted(line, WIDTH, 14), FAINT, font(14))
