"""The stand-in's pictures: pleasant, captioned, and the same bytes for the same recipe.

A prompt (with its LoRAs and model) decides scene and palette, the seed decides the composition.
"""

import colorsys
import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from random import Random

from PIL import Image, ImageColor, ImageDraw, ImageFilter, ImageFont

Colour = tuple[int, int, int]
CAPTION_FROM = 192
"""Width in pixels from which a caption can be read."""


@dataclass(frozen=True)
class Recipe:
    """What a picture is made from."""

    prompt: str
    seed: int
    models: tuple[str, ...] = ()
    loras: tuple[str, ...] = ()
    """Each as "<file>@<strength>"."""
    signature: str = ""
    """Digest of everything else that went in: steps, guidance, size, reference pictures."""


_PALETTES = (
    "2b3a67 f4a26b ffe3b8 b08ea2 141a33",
    "0f4c5c f2c57c fff1cf 7fb7a6 07232b",
    "5b3a8c f7a1a1 ffe6d5 a98bc4 1d1233",
    "1d3557 a8dadc f6fbf4 7fa6bd 0b1626",
    "7a1f3d f29559 ffdf9e b5697a 240a17",
    "22577a c7f9cc f7ffe8 6fb39a 0c2530",
    "3d405b f2cc8f fff4dd 9aa7a0 171826",
    "4a2c6b e0769b ffd6e0 8f7bb8 170e26",
    "14532d f0d58a fffbe0 86ad7d 0a2012",
    "264b96 9bd7f2 ffffff 8aa9d6 0d1b3d",
)
"""Each from a picture's top down: sky, glow, light, haze, dark."""


@dataclass(frozen=True)
class Palette:
    sky: Colour
    glow: Colour
    light: Colour
    haze: Colour
    dark: Colour


def render(
    recipe: Recipe,
    width: int,
    height: int,
    person: Callable[[Image.Image], Image.Image] = lambda scene: scene,
) -> Image.Image:
    """A scene, with whoever is put into it, and a caption."""
    subject = _random("\n".join((recipe.prompt, *recipe.models, *recipe.loras)))
    palette = _palette(subject)
    scene = subject.choice(_SCENES)
    image = _gradient(palette.sky, palette.glow, width, height)
    scene(image, palette, _random(f"{recipe.prompt}\n{recipe.seed}\n{recipe.signature}"))
    image = person(image.filter(ImageFilter.SMOOTH))
    if width >= CAPTION_FROM:
        _caption(image, recipe)
    return image


def _random(text: str) -> Random:
    return Random(int.from_bytes(hashlib.sha256(text.encode()).digest()))


def _palette(random: Random) -> Palette:
    """One of the palettes below, turned a little, so that few prompts look alike."""
    turn = random.uniform(-0.04, 0.04)
    colours = [ImageColor.getrgb(f"#{code}") for code in random.choice(_PALETTES).split()]
    return Palette(*(_turned(colour[:3], turn) for colour in colours))


def _turned(colour: Colour, turn: float) -> Colour:
    hue, lightness, saturation = colorsys.rgb_to_hls(*(part / 255 for part in colour))
    red, green, blue = colorsys.hls_to_rgb((hue + turn) % 1, lightness, saturation)
    return round(red * 255), round(green * 255), round(blue * 255)


def _mix(first: Colour, second: Colour, share: float) -> Colour:
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(first, second, strict=True))
    return red, green, blue


def _gradient(top: Colour, bottom: Colour, width: int, height: int) -> Image.Image:
    column = Image.new("RGB", (1, height))
    for y in range(height):
        column.putpixel((0, y), _mix(top, bottom, min(1.0, y / (height * 0.75))))
    return column.resize((width, height))


def _disc(image: Image.Image, centre: tuple[float, float], radius: float, colour: Colour) -> None:
    """A soft-edged disc: opaque in the middle, nothing at `radius`."""
    size = max(2, round(radius * 2))
    mask = Image.radial_gradient("L").resize((size, size), Image.Resampling.BILINEAR)
    mask = mask.point([max(0, min(255, round((181 - level) * 1.6))) for level in range(256)])
    image.paste(colour, (round(centre[0] - radius), round(centre[1] - radius)), mask)


def _sun(image: Image.Image, palette: Palette, random: Random) -> None:
    width, height = image.size
    centre = (random.uniform(0.2, 0.8) * width, random.uniform(0.22, 0.5) * height)
    radius = random.uniform(0.05, 0.11) * min(width, height)
    _disc(image, centre, radius * 3.2, _mix(palette.glow, palette.light, 0.5))
    box = (centre[0] - radius, centre[1] - radius, centre[0] + radius, centre[1] + radius)
    ImageDraw.Draw(image).ellipse(box, fill=palette.light)


def _ridges(image: Image.Image, palette: Palette, random: Random) -> None:
    _sun(image, palette, random)
    width, height = image.size
    draw = ImageDraw.Draw(image)
    layers = 6
    for layer in range(layers):
        near = layer / (layers - 1)
        level = (0.46 + 0.46 * near) * height
        profile = _rough_line(random, 7, 0.055 + 0.09 * (1 - abs(near - 0.4)))
        points = [
            (width * n / (len(profile) - 1), level - height * rise)
            for n, rise in enumerate(profile)
        ]
        draw.polygon(
            [*points, (width, height), (0, height)], _mix(palette.haze, palette.dark, near)
        )


def _rough_line(random: Random, depth: int, amplitude: float) -> list[float]:
    """Midpoint displacement: 2^depth + 1 heights around 0."""
    line = [random.uniform(-amplitude, amplitude) for _ in range(2)]
    for _ in range(depth):
        between = [(a + b) / 2 + random.uniform(-amplitude, amplitude) for a, b in pairwise(line)]
        line = [height for pair in zip(line, between, strict=False) for height in pair] + line[-1:]
        amplitude *= 0.52
    return line


def _skyline(image: Image.Image, palette: Palette, random: Random) -> None:
    _sun(image, palette, random)
    width, height = image.size
    draw = ImageDraw.Draw(image)
    for layer in range(3):
        near = (layer + 1) / 3
        wall = _mix(palette.haze, palette.dark, near)
        window = _mix(wall, palette.light, 0.25 + 0.5 * near)
        x = -random.uniform(0, 0.05) * width
        while x < width:
            wide = random.uniform(0.045, 0.11) * width * (0.6 + 0.5 * near)
            top = height * (0.78 - random.uniform(0.05, 0.5) * (1.15 - 0.6 * near))
            draw.rectangle((x, top, x + wide, height), wall)
            _windows(draw, random, (x, top, x + wide, height), window)
            x += wide + random.uniform(0, 0.012) * width


def _windows(
    draw: ImageDraw.ImageDraw,
    random: Random,
    house: tuple[float, float, float, float],
    colour: Colour,
) -> None:
    left, top, right, bottom = house
    pitch = max(4.0, (right - left) / 5)
    rows = int((bottom - top) / (pitch * 1.5))
    for row in range(1, rows):
        for column in range(4):
            if random.random() < 0.3:
                x, y = left + pitch * (0.7 + column), top + pitch * 1.5 * row
                draw.rectangle((x, y, x + pitch * 0.5, y + pitch * 0.7), colour)


def _ribbons(image: Image.Image, palette: Palette, random: Random) -> None:
    width, height = image.size
    draw = ImageDraw.Draw(image)
    count = 9
    waves = [
        (random.uniform(0.6, 1.9), random.uniform(0, math.tau), random.uniform(0.03, 0.12))
        for _ in range(3)
    ]
    for ribbon in range(count):
        near = ribbon / (count - 1)
        points = [
            (width * n / 64, height * (0.12 + 0.85 * near + _swell(waves, n / 64, near)))
            for n in range(65)
        ]
        shade = _mix(palette.light, palette.haze, min(1, near * 2))
        shade = _mix(shade, palette.dark, max(0.0, near * 2 - 1))
        draw.polygon([*points, (width, height), (0, height)], shade)


def _swell(waves: list[tuple[float, float, float]], x: float, near: float) -> float:
    return sum(
        size * math.sin(math.tau * pitch * x + phase + near * 2.4) for pitch, phase, size in waves
    )


def _orbs(image: Image.Image, palette: Palette, random: Random) -> None:
    width, height = image.size
    short = min(width, height)
    image.paste(_gradient(palette.dark, _mix(palette.dark, palette.sky, 0.8), width, height))
    for n in range(16):
        centre = (random.uniform(0, width), random.uniform(0, height))
        tint = _mix(palette.haze, random.choice((palette.light, palette.glow)), random.random())
        _disc(image, centre, random.uniform(0.04, 0.2) * short, _mix(palette.sky, tint, n / 15))


_SCENES: tuple[Callable[[Image.Image, Palette, Random], None], ...] = (
    _ridges,
    _skyline,
    _ribbons,
    _orbs,
)


def _caption(image: Image.Image, recipe: Recipe) -> None:
    """Say that no model made this, and from what: on a darkened strip at the bottom."""
    width, height = image.size
    size = max(11, min(width, height) // 44)
    strip = (0, height - round(size * 3.5), width, height)
    image.paste(image.crop(strip).point(lambda level: level * 0.35), strip[:2])
    draw = ImageDraw.Draw(image)
    font = ImageFont.load_default(size)
    margin = size
    names = [name.rsplit("/", 1)[-1].rsplit(".", 1)[0] for name in recipe.models]
    lines = (
        " ".join(recipe.prompt.split()),
        "   ".join(["stand-in", *names, *recipe.loras, f"seed {recipe.seed}"]),
    )
    for row, line in enumerate(lines):
        text = _fitting(line, font, width - 2 * margin)
        colour = (255, 255, 255) if row == 0 else (200, 200, 200)
        draw.text((margin, strip[1] + size * (0.45 + 1.4 * row)), text, colour, font)


def _fitting(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: float) -> str:
    """As much of the text as fits, with an ellipsis if that is not all of it."""
    room = max(1, int(len(text) * width / max(1.0, font.getlength(text))))
    if room >= len(text):
        return text
    return text[: max(1, room - 2)].rstrip() + "…"
