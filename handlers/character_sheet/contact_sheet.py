"""A picture of a whole sheet: each view in small with its scores, and what is said of the set.

For people to look at. It is no picture of the sheet: a trainer that finds it beside them trains on
it.
"""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw

from handlers.character_sheet.picture_text import (
    broken,
    drawable,
    fitted,
    font,
    is_drawn,
    plain,
    step,
)
from handlers.character_sheet.sheet_document import DocumentView, SheetDocument
from handlers.character_sheet.trainable import MEAN_MATCH, WORST_MATCH

GROUND, CELL = (24, 26, 32), (40, 43, 52)
INK, FAINT = (245, 245, 245), (160, 165, 178)
GOOD, MIDDLING, BAD = (80, 220, 120), (255, 190, 60), (255, 110, 130)
WIDTH, HEIGHT = 232, 300
"""Pixels of a view."""
LABEL = 62
"""Pixels below it, for three lines."""
GAP, HEAD, HEAD_LINES = 12, 116, 3
"""The head has more where its last line is too long."""
LARGE, SMALL = 28, 16
"""Letters of the head."""
WIDE = 5
"""Views in a row, of a sheet of up to 15; six of a larger one."""

Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Line:
    text: str
    colour: Colour = FAINT


def thumbnail(picture: Image.Image) -> Image.Image:
    """A small copy that fits into a view's place."""
    small = picture.copy()
    small.thumbnail((WIDTH, HEIGHT))
    return small


def contact_sheet(document: SheetDocument, thumbnails: Mapping[int, Image.Image]) -> bytes:
    """A PNG. `thumbnails` are by a view's number; one that is lacking is told in words."""
    columns = min(WIDE if len(document.views) <= 3 * WIDE else WIDE + 1, len(document.views))
    columns = max(columns, 3)  # the head's words need some room
    rows = -(-len(document.views) // columns)
    width = GAP + columns * (WIDTH + GAP)
    head = _fitted_head(document, width - 2 * GAP)
    begin = HEAD + (len(head) - HEAD_LINES) * step(SMALL)
    sheet = Image.new("RGB", (width, begin + rows * (HEIGHT + LABEL + GAP) + GAP), GROUND)
    _draw_head(sheet, head)
    for at, view in enumerate(document.views):
        row, column = divmod(at, columns)
        corner = (GAP + column * (WIDTH + GAP), begin + row * (HEIGHT + LABEL + GAP))
        _draw_view(sheet, view, thumbnails.get(view.number), corner)
    out = io.BytesIO()
    sheet.save(out, "PNG", compress_level=6)
    return out.getvalue()


def head_lines(document: SheetDocument) -> list[Line]:
    """Name, what there is of it, and whether it can be trained on."""
    found = document.set
    numbers = [f"{found.made} of {found.views} views", document.base]
    if found.mean_match is not None and found.worst_match is not None:
        numbers.append(f"match {found.mean_match:.2f} mean, {found.worst_match:.2f} worst")
    numbers.append(f"${document.usd:.3f}" if document.usd else "$0")
    can = "trainable: yes," if found.trainable else "trainable: no, because"
    return [
        Line(title(document), INK),
        Line("  ·  ".join(numbers)),
        Line(f"{can} {found.because}", GOOD if found.trainable else MIDDLING),
    ]


def view_lines(view: DocumentView) -> list[Line]:
    """Name, framing and angle, and the score or why there is none."""
    tries = f"{view.tries} {'try' if view.tries == 1 else 'tries'}"
    if view.reused_from is not None:
        tries = "reused"
    why = f" ({reason_words(view.match_reason)})" if view.match_reason else ""
    if view.missing is not None:
        last = Line(f"missing: {reason_words(view.missing)}, {tries}", BAD)
    elif view.match is not None and not why:
        last = Line(f"match {view.match:.2f}, {tries}", _colour(view.match))
    elif view.match is not None:  # of a profile: held against no bound
        last = Line(f"match {view.match:.2f}{why}, {tries}")
    elif view.similarity is not None:
        last = Line(f"similarity {view.similarity:.2f}{why}, {tries}")
    else:
        last = Line(f"{reason_words(view.match_reason or 'not measured')}, {tries}")
    where = f"{view.angle}, {view.framing}"
    return [Line(f"{view.number:02d} {view.id}", INK), Line(where.replace("-", " ")), last]


def reason_words(reason: str) -> str:
    """Why a view is missing, or has no match, for people to read."""
    said = {"back": "from behind", "base_face": "face of the base"}
    return said.get(reason, reason.replace("_", " "))


def _colour(match: float) -> Colour:
    if match >= MEAN_MATCH:
        return GOOD
    return MIDDLING if match >= WORST_MATCH else BAD


def _fitted_head(document: SheetDocument, room: int) -> list[tuple[Line, int]]:
    """Lines and the sizes of their letters; the last is broken, the others are cut."""
    name, numbers, verdict = head_lines(document)
    parts = [Line(part, verdict.colour) for part in broken(verdict.text, room, SMALL)]
    lines = [(name, LARGE), (numbers, SMALL), *((part, SMALL) for part in parts)]
    return [(Line(fitted(line.text, room, size), line.colour), size) for line, size in lines]


def _draw_head(sheet: Image.Image, head: Sequence[tuple[Line, int]]) -> None:
    draw = ImageDraw.Draw(sheet)
    top = GAP
    for line, size in head:
        draw.text((GAP, top), line.text, line.colour, font(size))
        top += step(size)


def _draw_view(
    sheet: Image.Image, view: DocumentView, small: Image.Image | None, corner: tuple[int, int]
) -> None:
    left, top = corner
    draw = ImageDraw.Draw(sheet)
    draw.rectangle((left, top, left + WIDTH - 1, top + HEIGHT - 1), fill=CELL)
    lines = view_lines(view)
    if small is None:
        why = reason_words(view.missing or "picture not read")
        middle = (left + WIDTH // 2, top + HEIGHT // 2)
        draw.text(middle, fitted(why, WIDTH - GAP, 20), lines[-1].colour, font(20), anchor="mm")
    else:
        sheet.paste(small, (left + (WIDTH - small.width) // 2, top + (HEIGHT - small.height) // 2))
    draw.rectangle((left, top + HEIGHT, left + WIDTH - 1, top + HEIGHT + 3), fill=lines[-1].colour)
    for at, line in enumerate(lines):
        where = (left, top + HEIGHT + 8 + at * 17)
        draw.text(where, fitted(line.text, WIDTH, 14), line.colour, font(14))


def title(document: SheetDocument) -> str:
    """The character's name as far as it can be drawn. Where letters of it are lacking, the job's id
    stands behind it: the whole name is in `sheet.json`."""
    words = "".join(c if is_drawn(c) else " " for c in plain(document.name)).split()
    if drawable(document.name) == plain(document.name):
        return " ".join(words)
    return "  ·  ".join([*([" ".join(words)] if words else []), document.job_id])
