"""Whether a set of pictures can train a LoRA: yes or no, and because of what. Pure.

The bounds are chosen, from what trainers' guides ask of a set; none was measured on trainings.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from handlers.character_sheet.sheet_document import Pair
from handlers.faces.view import Framing

LEAST_PICTURES = 8
"""A LoRA of fewer learns the pictures and not the person."""
MEAN_MATCH = 0.85
"""The requirements' target, over all faces that could be compared."""
WORST_MATCH = 0.7
"""One picture of somebody else spoils a set."""
WORST_PAIR = 0.5
"""Match of the two faces that are least alike: below it they are two people."""
COMPARED_SHARE = 0.5
"""Of the pictures with a face, whose match must be known."""
TWIN_SHARE = 0.25
"""Of the pictures, that may be hardly another than one before."""
CLOSE_UP_SHARE = 0.2
"""Of the pictures; faces are learnt from them."""
FRAMING_SHARE = 0.7
"""Of the pictures, that may be of one framing."""


@dataclass(frozen=True)
class Facts:
    """Of the pictures that were made."""

    pictures: int
    faces: int
    """Pictures that are to show one."""
    compared: int
    worst: tuple[str, float] | None
    """Name and match."""
    mean_match: float | None
    least_pair: Pair | None
    twins: int
    """Pictures that are hardly another than one before."""
    angles: Mapping[str, int]
    framings: Mapping[str, int]
    strangers: tuple[str, ...] = ()
    """Names of views whose face the base gave them, and nobody made it the person's."""


def reasons_against(facts: Facts) -> list[str]:
    """None for a set that can be trained on."""
    return [*_too_little(facts), *_not_one_person(facts), *_one_sided(facts)]


def _too_little(facts: Facts) -> Iterator[str]:
    if facts.pictures < LEAST_PICTURES:
        yield f"{facts.pictures} pictures, and {LEAST_PICTURES} are the least"
    if facts.twins > TWIN_SHARE * facts.pictures:
        yield f"{facts.twins} of {facts.pictures} pictures are hardly another than one before"


def _not_one_person(facts: Facts) -> Iterator[str]:
    if facts.strangers:
        shown = "shows" if len(facts.strangers) == 1 else "show"
        yield f"{' and '.join(facts.strangers)} {shown} a face that the base made up"
    if facts.compared < max(1, COMPARED_SHARE * facts.faces):
        yield f"only {facts.compared} of {facts.faces} faces have a match"
        return
    if facts.mean_match is not None and facts.mean_match < MEAN_MATCH:
        yield f"the mean match is {facts.mean_match:.2f}, below {MEAN_MATCH}"
    if facts.worst is not None and facts.worst[1] < WORST_MATCH:
        yield f"{facts.worst[0]} has match {facts.worst[1]:.2f}, below {WORST_MATCH}"
    pair = facts.least_pair
    if pair is not None and pair.match is not None and pair.match < WORST_PAIR:
        yield f"{' and '.join(pair.views)} look like two people (match {pair.match:.2f})"


def _one_sided(facts: Facts) -> Iterator[str]:
    lacking = _lacking_sides(facts)
    if lacking:
        yield f"no view from the {', none from the '.join(lacking)}"
    close = facts.framings.get(Framing.CLOSE_UP, 0)
    if close < CLOSE_UP_SHARE * facts.pictures:
        yield f"{close} of {facts.pictures} pictures are close up"
    for framing, count in facts.framings.items():
        if facts.pictures > 1 and count > FRAMING_SHARE * facts.pictures:
            yield f"{count} of {facts.pictures} pictures are {framing}"


def _lacking_sides(facts: Facts) -> list[str]:
    return [
        side
        for side in ("front", "left", "right")
        if not any(count and angle.endswith(side) for angle, count in facts.angles.items())
    ]


def wanting(facts: Facts) -> Iterator[str]:
    """What to add, as far as more pictures would help."""
    more = LEAST_PICTURES - facts.pictures
    if more > 0:
        yield f"add {more} pictures"
    for side in _lacking_sides(facts):
        yield f"add a view from the {side}"
    close = facts.framings.get(Framing.CLOSE_UP, 0)
    further = 0
    while close + further < CLOSE_UP_SHARE * (facts.pictures + further):
        further += 1
    if further:
        yield f"add {further} {Framing.CLOSE_UP}"


def summary(facts: Facts) -> str:
    """Of a set that can be trained on."""
    worst = "" if facts.worst is None else f"worst match {facts.worst[1]:.2f}"
    mean = "" if facts.mean_match is None else f"mean {facts.mean_match:.2f}"
    framings = ", ".join(f"{count} {framing}" for framing, count in facts.framings.items())
    pictures = f"{facts.pictures} pictures"
    return ", ".join(part for part in (pictures, worst, mean, framings) if part)
