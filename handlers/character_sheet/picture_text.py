"""Text on pictures of sheets: in the letters that Pillow's own font has, cut or broken to fit."""

import unicodedata
from functools import cache

from PIL import ImageFont


def step(size: int) -> int:
    """From a line to the next."""
    return round(size * 1.3) + 4


def fitted(text: str, room: int, size: int) -> str:
    """With an ellipsis where it would be wider than so many pixels."""
    text = drawable(text)
    if font(size).getlength(text) <= room:
        return text
    while text and font(size).getlength(f"{text}…") > room:
        text = text[:-1]
    return f"{text}…"


def broken(text: str, room: int, size: int) -> list[str]:
    """At spaces, into lines that are no wider than so many pixels where words allow."""
    first, *words = drawable(text).split()
    lines = [first]
    for word in words:
        longer = f"{lines[-1]} {word}"
        if font(size).getlength(longer) <= room:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def drawable(text: str) -> str:
    """In letters that Pillow's own font has, and ? for those of other scripts."""
    return "".join(c if is_drawn(c) else "?" for c in plain(text))


def is_drawn(letter: str) -> bool:
    return letter.isascii() or letter in "·…\u2018\u2019\u201c\u201d"


def plain(text: str) -> str:
    """Without accents and marks, of which the font has none."""
    letters = unicodedata.normalize("NFKD", text.translate(_SPELT))
    return "".join(c for c in letters if unicodedata.category(c)[0] not in "MC")


_SPELT = str.maketrans(
    {"ß": "ss", "æ": "ae", "Æ": "AE", "œ": "oe", "Œ": "OE", "þ": "th", "Þ": "Th"}
    | dict(zip("øØłŁđĐðÐ\u0131\u2010\u2013\u2014", "oOlLdDdDi---", strict=True))
)
"""What does not come apart into a letter and a mark → how it is drawn."""


@cache
def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
