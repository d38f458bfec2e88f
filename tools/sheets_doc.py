"""The tables of docs/character-sheets.md, from handlers/character_sheet."""

import tomllib
from collections.abc import Iterator, Sequence
from importlib.resources import files

from handlers.character_sheet import trainable, verdict
from handlers.character_sheet.combinations import (
    COMBINATIONS,
    Combination,
    Making,
    ScoredAgainst,
    scored_against,
)
from handlers.character_sheet.views import PRESETS, View
from handlers.kinds.view_fields import HEADS, HeadInput

HOW = {
    Making.COMPOSED: "the base draws it, the LoRA makes the likeness",
    Making.INSTANTID: "one pass: SDXL with InstantID, the head turned as drawn",
    Making.FACE_PASS: "two passes: the base draws it, SDXL with InstantID makes the face anew",
}
BOUNDS = {
    "LEAST_PICTURES": "at least so many pictures",
    "MEAN_MATCH": "a mean match of at least that: the target of the requirements",
    "WORST_MATCH": "no picture of a match below that: one of somebody else spoils a set",
    "WORST_PAIR": "no two faces whose match with each other is below that",
    "COMPARED_SHARE": "a known match for at least that share of the pictures with a face",
    "TWIN_SHARE": "at most that share of pictures that are too alike to one before",
    "CLOSE_UP_SHARE": "at least that share of close-ups: faces are learnt from them",
    "FRAMING_SHARE": "at most that share of one framing",
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
    return "back" if view.back else _angles(view.head) or "front"


def _angles(head: HeadInput) -> str:
    angles = (("yaw", head.yaw), ("pitch", head.pitch), ("roll", head.roll))
    return ", ".join(f"{name} {angle:g}" for name, angle in angles if angle)


def heads() -> str:
    return _table(
        ["name", "head"], [[f"`{name}`", _angles(head) or "all 0"] for name, head in HEADS.items()]
    )


def phrases() -> str:
    return _table(["field", "word", "in the prompt"], [*_phrases()])


def _phrases() -> Iterator[list[str]]:
    text = files("handlers.character_sheet").joinpath("phrases.toml").read_text("utf-8")
    table = tomllib.loads(text)
    for field in ("expression", "pose", "light", "background"):
        for word, phrase in table[field].items():
            yield [f"`{field}`", f"`{word}`", phrase]


def bounds() -> str:
    rows = [[f"`{name}`", f"{getattr(trainable, name):g}", said] for name, said in BOUNDS.items()]
    rows += [
        ["`ALIKE_BITS`", f"{verdict.ALIKE_BITS}", "bits of 64 in which twins differ at most"],
        ["`ALIKE_DEGREES`", f"{verdict.ALIKE_DEGREES:g}", "degrees; heads nearer are the same"],
    ]
    return _table(["bound", "value", "a set can be trained on with"], rows)


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
