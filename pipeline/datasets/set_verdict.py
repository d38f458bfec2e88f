"""Whether the pictures of a dataset can train a LoRA: the sheet's own question, asked of what is
left after a person's review. Pure."""

from collections import Counter
from collections.abc import Sequence
from statistics import fmean

from pydantic import BaseModel, ConfigDict

from handlers.character_sheet import prompts
from handlers.character_sheet.likeness import sheet_looks
from handlers.character_sheet.records import SheetRecords, ViewRecords
from handlers.character_sheet.sheet_document import Pair, SetVerdict
from handlers.character_sheet.sheet_plan import SheetPlan
from handlers.character_sheet.trainable import Facts, reasons_against, summary, wanting
from handlers.character_sheet.verdict import judge_sheet
from pipeline.datasets.selection import Picked


class DatasetVerdict(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)

    trainable: bool
    because: str
    """In one line."""
    wanting: tuple[str, ...] = ()
    """What would make it trainable, such as `add 4 close-up`."""


def judge_dataset(
    picked: Sequence[Picked],
    plan: SheetPlan,
    records: SheetRecords,
    sheet: SetVerdict | None,
    *,
    placeholders: bool = False,
) -> DatasetVerdict:
    """`sheet` is what was said of the whole sheet, as far as somebody looked at its pictures: which
    of them are hardly another is taken from there. `placeholders` are pictures that no model drew.
    """
    facts = _facts(picked, sheet, _least_alike(picked, plan, records, sheet))
    against = reasons_against(facts)
    if placeholders:
        against = ["no model drew these pictures: they are the stand-in's", *against]
    return DatasetVerdict(
        trainable=not against,
        because="; ".join(against) or summary(facts),
        wanting=tuple(wanting(facts)),
    )


def _facts(picked: Sequence[Picked], sheet: SetVerdict | None, least_pair: Pair | None) -> Facts:
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
        least_pair=least_pair,
        twins=len({pair.views[1] for pair in sheet.too_alike if _among(names, pair)})
        if sheet
        else 0,
        angles=Counter(prompts.angle(one.view.asked.head) for one in picked),
        framings=Counter(one.view.framing.value for one in picked),
    )


def _least_alike(
    picked: Sequence[Picked], plan: SheetPlan, records: SheetRecords, sheet: SetVerdict | None
) -> Pair | None:
    """Of the faces as they were recorded. Where none was, the sheet's, if both of it are here."""
    taken = SheetRecords({one.view.nn: _taken(records.of_view(one.view.nn)) for one in picked})
    of_these = plan.model_copy(update={"views": tuple(one.view for one in picked)})
    told = judge_sheet(of_these, taken, sheet_looks(taken, {}), usd=0.0).set.least_alike
    return told or _among({one.view.name for one in picked}, sheet.least_alike if sheet else None)


def _taken(view: ViewRecords) -> ViewRecords:
    """As if its picture had no fault: whatever is picked is in the set."""
    choice = view.choice
    return view if choice is None else view.with_(choice.model_copy(update={"fault": None}))


def _among(names: set[str], pair: Pair | None) -> Pair | None:
    return pair if pair is not None and names.issuperset(pair.views) else None
