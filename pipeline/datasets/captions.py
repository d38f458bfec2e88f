"""The captions that a LoRA is trained with. Pure.

A trainer binds to the trigger word whatever is in the pictures and not in their captions. So a
caption has the trigger word first, and then what varies: framing, angle, expression, pose, clothes,
light, place. What the person always has is never told: a trait that stands in every caption is
learnt twice over. Neither is what all pictures of the set have in common: it tells none apart.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from handlers.character_sheet.prompts import plain
from handlers.character_sheet.sheet_plan import PlannedView

MAY_BE_LEFT_OUT = ("expression", "pose", "clothes", "light", "place")
"""Parts that go where they are the same in all pictures. Framing and angle always stay: a view from
behind whose caption is silent about it binds "from behind" to the trigger word."""
_BRACKETS = str.maketrans("[]{}", "()()")


@dataclass(frozen=True)
class Subject:
    """How captions call the person."""

    trigger: str
    """The word that the LoRA is to answer to."""
    class_word: str
    """What it is one of, such as `woman`."""

    @property
    def lead(self) -> str:
        """What every caption begins with."""
        return f"{self.trigger} {self.class_word}"


def captions(
    views: Sequence[PlannedView], subject: Subject, told_trigger: str = ""
) -> tuple[str, ...]:
    """One line for each view, never empty. `told_trigger` is the word that the plan's own captions
    begin with."""
    same = common_parts(views)
    return tuple(_caption(view, subject, same, told_trigger) for view in views)


def common_parts(views: Sequence[PlannedView]) -> Mapping[str, str]:
    """What is the same in all pictures, by what it is about. A single picture has nothing in common
    with others. Of a view from behind nobody asks for an expression."""
    if len(views) < 2:
        return {}
    found = {}
    for name in MAY_BE_LEFT_OUT:
        asked = [view for view in views if name != "expression" or not view.back]
        said = {view.caption_parts.get(name, "") for view in asked}
        if len(said) == 1 and "" not in said:
            found[name] = one_line(said.pop())
    return found


def one_line(text: str) -> str:
    """A caller's text as a part of a caption: on one line, without what cannot be seen, and without
    brackets, which trainers take for `[trigger]` or for alternatives to choose from."""
    shown = plain(text).translate(_BRACKETS)
    return re.sub(r"\s*,[\s,]*", ", ", shown).strip(" ,")


def as_word(text: str) -> str:
    """As it can stand before the first comma of a caption."""
    return " ".join(one_line(text).replace(",", " ").split())


def _caption(
    view: PlannedView, subject: Subject, same: Mapping[str, str], told_trigger: str
) -> str:
    if view.caption_parts:
        parts = [text for name, text in view.caption_parts.items() if name not in same]
    else:
        parts = [view.caption.removeprefix(plain(told_trigger))]
    said = (one_line(part) for part in parts)
    return ", ".join((subject.lead, *(part for part in said if part)))
