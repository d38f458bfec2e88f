"""A drawn person, lit from the upper left, which a detector takes for one from all sides shown."""

import colorsys
import math
from collections.abc import Sequence
from functools import cache
from random import Random

from PIL import Image, ImageChops, ImageDraw, ImageFilter

from handlers.comfyui.standin.turned_head import surface
from handlers.faces.boxes import Point

Colour = tuple[int, int, int]
Place = tuple[float, float]
SIDE = 768
DRAWN_POINTS: Sequence[Point] = ((310, 353), (458, 356), (388, 440), (327, 522), (441, 525))
"""Eyes, nose and corners of the mouth of any drawn face, as MTCNN sees them on the average."""
EYE_DISTANCE, BETWEEN_EYES = 148, (384, 356)
LIGHT = (-0.35, -0.45, 0.82)
"""Where it comes from: right, down, towards the viewer."""
DARKEST = 0.45
SHADED = 72
"""Pixels of a side at which the shading is computed."""
RELIEF: Sequence[tuple[Place, Place, float]] = (
    ((-0.5, 0.02), (0.26, 0.16), -0.1),
    ((0.5, 0.02), (0.26, 0.16), -0.1),
    ((-0.575, 0.62), (0.3, 0.28), 0.07),
    ((0.575, 0.62), (0.3, 0.28), 0.07),
    ((0.0, 1.13), (0.28, 0.12), 0.07),
    ((0.0, 1.6), (0.3, 0.2), 0.09),
    ((0.0, -0.2), (0.9, 0.1), 0.05),
)
"""Sockets of the eyes, cheeks, lips, chin and brows: middle, reach and height, in distances between
the eyes."""


def drawn_face(name: str) -> Image.Image:
    """Head and shoulders; another name, other colours. The same picture every time."""
    random = Random(name)
    skin = _shade(random.uniform(0.04, 0.075), random.uniform(0.5, 0.8), 0.45)
    hair = _shade(random.uniform(0.02, 0.12), random.uniform(0.08, 0.35), 0.4)
    image = Image.new("RGB", (SIDE, SIDE), _shade(random.random(), 0.62, 0.06))
    draw = ImageDraw.Draw(image)
    draw.ellipse((100, 620, 668, 1040), _shade(random.random(), 0.35, 0.3))
    draw.ellipse((190, 60, 578, random.choice((430, 660))), hair)
    draw.rectangle((312, 520, 456, 700), _dimmed(skin, 0.8))
    for x in (206, 562):
        draw.ellipse((x - 26, 330, x + 26, 450), _dimmed(skin, 0.85))
    draw.ellipse((206, 110, 562, 634), skin)
    draw.chord((196, 66, 572, 380), 185, 355, hair)
    for x in (310, 458):
        _draw_eye(draw, x, skin, hair, _shade(random.random(), 0.25, 0.3))
    draw.ellipse((352, 424, 416, 468), _dimmed(skin, 0.95))
    for x in (364, 404):
        draw.ellipse((x - 9, 450, x + 9, 464), _dimmed(skin, 0.5))
    draw.ellipse((322, 500, 446, 546), (176, 90, 86))
    draw.line(((322, 522), (360, 518), (384, 523), (408, 518), (446, 522)), (110, 44, 46), 6)
    mask = Image.new("L", image.size)
    ImageDraw.Draw(mask).ellipse((190, 90, 578, 660), 255)
    lit = ImageChops.multiply(image, Image.merge("RGB", [_shading()] * 3))
    image.paste(lit, mask=mask.filter(ImageFilter.GaussianBlur(8)))
    return image.filter(ImageFilter.GaussianBlur(2.2))


def _draw_eye(draw: ImageDraw.ImageDraw, x: int, skin: Colour, hair: Colour, iris: Colour) -> None:
    draw.ellipse((x - 56, 322, x + 56, 392), _dimmed(skin, 0.88))
    draw.line(((x - 54, 306), (x - 20, 288), (x + 20, 288), (x + 54, 306)), hair, 14)
    draw.ellipse((x - 38, 340, x + 38, 374), (240, 236, 232))
    draw.ellipse((x - 18, 338, x + 18, 376), iris)
    draw.ellipse((x - 8, 349, x + 8, 365), (10, 8, 8))
    draw.ellipse((x - 10, 346, x - 3, 353), (250, 250, 250))
    draw.arc((x - 42, 330, x + 42, 386), 190, 350, (50, 34, 30), 7)


@cache
def _shading() -> Image.Image:
    """How bright the head's surface is (Lambert), as grey."""
    image = Image.new("L", (SHADED, SHADED))
    step = SIDE / SHADED
    for row in range(SHADED):
        for column in range(SHADED):
            x = ((column + 0.5) * step - BETWEEN_EYES[0]) / EYE_DISTANCE
            y = ((row + 0.5) * step - BETWEEN_EYES[1]) / EYE_DISTANCE
            image.putpixel((column, row), min(255, round(255 * _brightness(x, y))))
    return image.resize((SIDE, SIDE), Image.Resampling.BICUBIC)


def _brightness(x: float, y: float) -> float:
    off = 0.04
    across = (_height(x + off, y) - _height(x - off, y)) / (2 * off)
    down = (_height(x, y + off) - _height(x, y - off)) / (2 * off)
    facing = LIGHT[2] - across * LIGHT[0] - down * LIGHT[1]
    return DARKEST + 0.63 * max(0.0, facing / math.sqrt(across * across + down * down + 1))


def _height(x: float, y: float) -> float:
    return surface(x, y) + sum(
        high * math.exp(-(((x - at[0]) / reach[0]) ** 2) - ((y - at[1]) / reach[1]) ** 2)
        for at, reach, high in RELIEF
    )


def _shade(hue: float, lightness: float, saturation: float) -> Colour:
    red, green, blue = colorsys.hls_to_rgb(hue, lightness, saturation)
    return round(255 * red), round(255 * green), round(255 * blue)


def _dimmed(colour: Colour, share: float) -> Colour:
    red, green, blue = colour
    return round(red * share), round(green * share), round(blue * share)
