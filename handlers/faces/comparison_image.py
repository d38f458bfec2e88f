"""A picture for people: others side by side, with boxes and numbers drawn on."""

import io
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

from handlers.faces.boxes import Box, Face
from handlers.faces.match import Score
from handlers.media.images import pixels

INK = (255, 255, 255)
GROUND = (24, 26, 32)
COLOURS = ((80, 220, 120), (255, 190, 60), (90, 180, 255), (255, 110, 130))
GAP = 8


@dataclass(frozen=True)
class Mark:
    box: Box
    text: str = ""


@dataclass(frozen=True)
class Panel:
    """One of the pictures."""

    title: str
    picture: bytes
    marks: Sequence[Mark] = ()


def marks(faces: Sequence[Face], scores: Sequence[Score]) -> list[Mark]:
    """A mark for each face, with its index and its numbers."""
    return [
        Mark(face.box, f"{at}: {in_words(result)}")
        for at, (face, result) in enumerate(zip(faces, scores, strict=True))
    ]


def in_words(result: Score) -> str:
    """Such as "similarity 0.71, match 0.93", or the reason in place of a number."""
    numbers = [
        f"{name} {value:.2f}"
        for name, value in (("similarity", result.similarity), ("match", result.match))
        if value is not None
    ]
    return ", ".join([*numbers, *([result.reason.value] if result.reason else [])])


def comparison_image(panels: Sequence[Panel], height: int = 512) -> bytes:
    """A PNG of all panels beside one another, each `height` pixels high under its title."""
    drawn = [_drawn(panel, height) for panel in panels]
    width = sum(image.width for image in drawn) + GAP * (len(drawn) + 1)
    sheet = Image.new("RGB", (width, drawn[0].height + 2 * GAP), GROUND)
    left = GAP
    for image in drawn:
        sheet.paste(image, (left, GAP))
        left += image.width + GAP
    out = io.BytesIO()
    sheet.save(out, "PNG", compress_level=4)
    return out.getvalue()


def _drawn(panel: Panel, height: int) -> Image.Image:
    original = pixels(panel.picture)
    scale = height / original.height
    image = original.resize((max(1, round(original.width * scale)), height))
    font = ImageFont.load_default(max(11, height // 32))
    draw = ImageDraw.Draw(image)
    for at, mark in enumerate(panel.marks):
        _draw_mark(draw, mark, scale, image.width, font, COLOURS[at % len(COLOURS)])
    head = round(font.getbbox("Ag")[3] * 1.5)
    titled = Image.new("RGB", (image.width, head + height), GROUND)
    titled.paste(image, (0, head))
    ImageDraw.Draw(titled).text((0, 0), panel.title, INK, font)
    return titled


def _draw_mark(
    draw: ImageDraw.ImageDraw,
    mark: Mark,
    scale: float,
    room: int,
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
    colour: tuple[int, int, int],
) -> None:
    box = mark.box
    edges = tuple(edge * scale for edge in (box.x, box.y, box.right - 1, box.bottom - 1))
    draw.rectangle(edges, outline=colour, width=2)
    if not mark.text:
        return
    _, _, width, height = draw.textbbox((0, 0), mark.text, font)
    left = max(0.0, min(edges[0], room - width))
    top = max(0.0, edges[1] - height - 4)  # above the face, not on it, where there is room
    draw.rectangle((left, top, left + width, top + height + 2), fill=GROUND)
    draw.text((left, top), mark.text, colour, font)
