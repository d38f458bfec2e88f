from itertools import product
from typing import get_args

import pytest

from handlers.character_sheet.combinations import (
    BASES,
    COMBINATIONS,
    Making,
    ScoredAgainst,
    combination,
    scored_against,
)
from handlers.character_sheet.person import BaseName
from handlers.kinds.compatibility import Adapter, rows


def test_every_base_goes_with_references_a_lora_or_both() -> None:
    found = {(each.base, each.references, each.lora) for each in COMBINATIONS}
    likenesses = [(True, False), (False, True), (True, True)]
    assert found == {(base, *each) for base, each in product(get_args(BaseName), likenesses)}
    assert len(COMBINATIONS) == len(found)


def test_a_sheet_of_nobody_has_no_making() -> None:
    with pytest.raises(StopIteration):
        combination("sdxl", references=False, lora=False)


def test_only_sdxl_has_instantid_in_one_pass() -> None:
    ways = {each.base: each.making for each in COMBINATIONS if each.references}
    assert ways == {
        "sdxl": Making.INSTANTID,
        "flux-dev": Making.FACE_PASS,
        "z-image-turbo": Making.FACE_PASS,
    }
    assert {each.making for each in COMBINATIONS if not each.references} == {Making.COMPOSED}


def test_the_table_of_kinds_has_the_same_rows() -> None:
    adapters = {True: Adapter.INSTANTID, False: Adapter.NONE}
    own = {(BASES[each.base], adapters[each.references]) for each in COMBINATIONS}
    assert {(row.base, row.adapter) for row in rows("character-sheet")} == own


def test_references_are_what_faces_are_scored_against_where_there_are_some() -> None:
    for front in (True, False):
        against = scored_against(references=True, front_view=front)
        assert against is ScoredAgainst.REFERENCES
    assert scored_against(references=False, front_view=True) is ScoredAgainst.BEST_FRONT
    assert scored_against(references=False, front_view=False) is ScoredAgainst.PAIRWISE
