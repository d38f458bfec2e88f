"""Drawn people: a checked face in a frame of a marker colour, the same for the same name."""

import io
from random import Random

from PIL import Image, ImageDraw

from handlers.faces.boxes import Box

MARKERS = ((255, 128, 255), (0, 255, 255))
"""The micro detector finds one frame of each; nothing else in a portrait has these colours, nor has
a drawing of landmarks."""
CHECKS = 6


def portrait(
    faces: dict[str, Box], *, size: tuple[int, int] = (640, 480), light: float = 1.0
) -> bytes:
    """A PNG with at most one face for each marker; `light` darkens what is not the frame."""
    image = Image.linear_gradient("L").resize(size).convert("RGB")
    for (name, box), marker in zip(faces.items(), MARKERS, strict=False):
        frame = max(3, min(box.width, box.height) // 16)
        draw = ImageDraw.Draw(image)
        draw.rectangle((box.x, box.y, box.right - 1, box.bottom - 1), fill=marker)
        inner = (box.width - 2 * frame, box.height - 2 * frame)
        image.paste(_features(name, light).resize(inner), (box.x + frame, box.y + frame))
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


def _features(name: str, light: float) -> Image.Image:
    """What tells people apart: coloured checks, muted so that none looks like a marker."""
    random = Random(name)
    image = Image.new("RGB", (CHECKS, CHECKS))
    for at in range(CHECKS * CHECKS):
        red, green, blue = (round(random.randint(60, 190) * light) for _ in range(3))
        image.putpixel(divmod(at, CHECKS), (red, green, blue))
    return image.resize((CHECKS * 8, CHECKS * 8), Image.Resampling.NEAREST)
