"""The texts of a view, put together from a table of phrases and the caller's words. Pure.

The caller's words are data: they are joined, never expanded, and a line break in them is a space.
"""

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from handlers.character_sheet.views import View
from handlers.faces.head import Head
from handlers.faces.view import FRONT_TO, PROFILE_FROM, Framing
from handlers.kinds.lora_fields import with_trigger

SOMEBODY = "a person"
"""Who is seen, where neither a description nor a trigger word says it."""
TURNED = 8.0
"""Degrees of pitch and roll that are worth a word."""


@dataclass(frozen=True)
class SheetWords:
    """What a sheet says of all its views."""

    description: str = ""
    trigger_word: str = ""
    outfit: str = ""
    background: str = ""
    style: str = ""
    negative_prompt: str = ""


def prompt(view: View, words: SheetWords) -> str:
    """The text that the base model composes the view from."""
    trigger, who = plain(words.trigger_word), plain(words.description)
    if not who and not trigger:
        who = SOMEBODY
    shot = _phrase("framing", view.framing)
    parts = (
        f"{shot} of {who}" if who else shot,
        _table()["extent"].get(view.framing, ""),
        *_about(view, words).values(),
        plain(words.style),
    )
    return _with_trigger(trigger, _joined(parts))


def caption(view: View, words: SheetWords) -> str:
    """The text that a trainer is told the picture shows: the trigger word, then what varies.

    The description is left out: what is the same in all pictures belongs to the trigger word.
    """
    parts = tuple(caption_parts(view, words).values())
    return _with_trigger(plain(words.trigger_word), _joined(parts))


def caption_parts(view: View, words: SheetWords) -> Mapping[str, str]:
    """What a caption says beside the trigger word, by what it is about, in order. None is empty."""
    about = _about(view, words)
    shot = _joined((_phrase("framing", view.framing), _table()["extent"].get(view.framing, "")))
    parts = {"framing": shot, **about}
    return {name: part for name, part in parts.items() if part}


def _with_trigger(trigger: str, text: str) -> str:
    """With the trigger word in front, unless it is in there already."""
    return text if with_trigger(text, trigger) == text else f"{trigger}, {text}"


def negative_prompt(view: View, words: SheetWords) -> str:
    """What SDXL is to keep away from; it says nothing to models that sample at cfg 1."""
    phrases = _table()["negative"]
    about = phrases["back" if view.back else "face"]
    return _joined((plain(words.negative_prompt), phrases["always"], about))


def angle(head: Head | None) -> str:
    """The name of a head's direction: `front`, `three-quarter-left`, `side-right`, `back` …"""
    if head is None:
        return "back"
    if abs(head.yaw) < FRONT_TO:
        return "front"
    side = "left" if head.yaw < 0 else "right"
    return f"{'side' if abs(head.yaw) >= PROFILE_FROM else 'three-quarter'}-{side}"


def plain(text: str) -> str:
    """On one line, without characters that cannot be seen."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split()).strip(" ,")


def _about(view: View, words: SheetWords) -> Mapping[str, str]:
    """What varies from view to view, but for the framing; empty where nothing is to be said."""
    head = view.asked_head
    turned = () if head is None else tuple(_turned(head))
    outfit = plain(view.outfit) or plain(words.outfit)
    widens = view.framing is Framing.CLOSE_UP and view.pose in _table()["pose"]
    return {
        "angle": _joined((_phrase("angle", angle(head)), *turned)),
        "expression": _phrase("expression", view.expression),
        "pose": "" if widens else _phrase("pose", view.pose),  # "standing" would widen a close-up
        "clothes": f"wearing {outfit}" if outfit else "",
        "light": _phrase("light", view.light),
        "place": _phrase("background", view.background or words.background or "plain"),
    }


def _turned(head: Head) -> Iterator[str]:
    if abs(head.pitch) >= TURNED:
        yield _phrase("gaze", "up" if head.pitch > 0 else "down")
    if abs(head.roll) >= TURNED:
        yield _phrase("tilt", "right" if head.roll > 0 else "left")


def _phrase(table: str, word: str) -> str:
    return _table()[table].get(plain(word).casefold(), plain(word))


def _joined(parts: tuple[str, ...]) -> str:
    return ", ".join(part for part in parts if part)


@cache
def _table() -> Mapping[str, Mapping[str, str]]:
    text = files("handlers.character_sheet").joinpath("phrases.toml").read_text("utf-8")
    return tomllib.loads(text)
