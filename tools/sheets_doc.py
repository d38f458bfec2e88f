"""The tables of docs/character-sheets.md, from handlers/character_sheet."""

import tomllib
from collections.abc import Iterator, Sequence
from importlib.resources import files

from handlers.character_sheet.combinations import (
    COMBINATIONS,
    Combination,
    Making,
    ScoredAgainst,
    scored_against,
)
from handlers.character_sheet.views import PRESETS, View

HOW = {
    Making.COMPOSED: "the base draws it, the LoRA makes the likeness",
    Making.INSTANTID: "one pass: SDXL with InstantID, the head turned as drawn",
    Making.FACE_PASS: "two passes: the base draws it, SDXL with InstantID makes the face anew",
}
AGAINST = {
    ScoredAgainst.REFERENCES: "the references",
    ScoredAgainst.BEST_FRONT: "the front view most like all others; without one, pairwise alone",
}


def combinations() -> str:
    header = ["base", "references", "LoRA", "a view with a face", "scored against"]
    return _table(header, [_combination(each) for each in COMBINATIONS])


def _combination(each: Combination) -> list[str]:
    against = scored_against(references=each.references, front_view=True)
    yes = {True: "yes", False: "no"}
    return [
        f"`{each.base}`",
        yes[each.references],
        yes[each.lora],
        HOW[each.making],
        AGAINST[against],
    ]


def presets() -> str:
    header = ["view", "head", "framing", "pose", "expression", "light", "clothes, background"]
    return "\n".join(
        f"### `{preset}`\n\n{_table(header, [_view(view) for view in views])}"
        for preset, views in PRESETS.items()
    )


def _view(view: View) -> list[str]:
    where = ", ".join(text for text in (view.outfit, view.background) if text)
    return [
        f"`{view.id}`",
        _head(view),
        view.framing,
        view.pose,
        view.expression,
        view.light,
        where,
    ]


def _head(view: View) -> str:
    if view.back:
        return "back"
    angles = (("yaw", view.head.yaw), ("pitch", view.head.pitch), ("roll", view.head.roll))
    return ", ".join(f"{name} {angle:g}" for name, angle in angles if angle) or "front"


def phrases() -> str:
    return _table(["field", "word", "in the prompt"], [*_phrases()])


def _phrases() -> Iterator[list[str]]:
    text = files("handlers.character_sheet").joinpath("phrases.toml").read_text("utf-8")
    table = tomllib.loads(text)
    for field in ("expression", "pose", "light", "background"):
        for word, phrase in table[field].items():
            yield [f"`{field}`", f"`{word}`", phrase]


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
