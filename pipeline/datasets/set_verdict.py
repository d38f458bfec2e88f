"""Whether the pictures of a dataset can train a LoRA: the sheet's own question, asked of what is
left after a person's review. Pure."""

from collections import Counter
from collections.abc import Sequence
from statistics import fmean

from pydantic import BaseModel, ConfigDict

from handlers.character_sheet import prompts
from handlers.character_sheet.document import Pair, SetVerdict
from handlers.character_sheet.trainable import Facts, reasons_against, summary, wanting
from pipeline.datasets.selection import Picked


class DatasetVerdict(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)

    trainable: bool
    because: str
    """In one line."""
    wanting: tuple[str, ...] = ()
    """What would make it trainable, such as `add 4 close-up`."""


def judge_dataset(
    picked: Sequence[Picked], sheet: SetVerdict | None, *, placeholders: bool = False
) -> DatasetVerdict:
    """`sheet` is what was said of the whole sheet, as far as somebody looked at its pictures: pairs
    are taken from there. `placeholders` are pictures that no model drew."""
    facts = _facts(picked, sheet)
    against = reasons_against(facts)
    if placeholders:
        against = ["no model drew these pictures: they are the stand-in's", *against]
    return DatasetVerdict(
        trainable=not against,
        because="; ".join(against) or summary(facts),
        wanting=tuple(wanting(facts)),
    )


def _facts(picked: Sequence[Picked], sheet: SetVerdict | None) -> Facts:
    names = {one.view.name for one in picked}
    matches = {one.view.name: one.counted_match for one in picked}
    known = {name: match for name, match in matches.items() if match is not None}
    worst = min(known.items(), key=lambda item: item[1], default=None)
    return Facts(
        pictures=len(picked),
        faces=sum(not one.view.back for one in picked),
        compared=len(known),
        worst=worst,
        mean_match=fmean(known.values()) if known else None,
        least_pair=_among(names, sheet.least_alike) if sheet else None,
        twins=len({pair.views[1] for pair in sheet.too_alike if _among(names, pair)})
        if sheet
        else 0,
        angles=Counter(prompts.angle(one.view.asked.head) for one in picked),
        framings=Counter(one.view.framing.value for one in picked),
    )


def _among(names: set[str], pair: Pair | None) -> Pair | None:
    return pair if pair is not None and names.issuperset(pair.views) else None
