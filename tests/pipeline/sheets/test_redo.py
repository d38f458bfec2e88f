import json
from typing import Any

import pytest

from config.errors import InvalidInput
from handlers.character_sheet.input import CharacterSheetInput
from pipeline.contract.document import canonical
from pipeline.contract.manifest import parse_manifest
from pipeline.sheets.ended_sheet import EndedSheet
from pipeline.sheets.redo import redo_manifest, redo_root
from tests.pipeline.sheets.test_ended_sheet import result
from tests.support.sheets import sheet_plan

NOBODY = frozenset[str]().__contains__


def sheet(id: str = "ann", **changes: Any) -> EndedSheet:
    given = {"name": "Ann", "reference_images": ["inputs/ann.png"], **changes.pop("input", {})}
    manifest = {"version": 1, "model": "character-sheet", "input": given, **changes}
    return EndedSheet(json.dumps(manifest).encode(), result(id=id), sheet_plan(job_id=id))


def asked(document: dict[str, Any]) -> CharacterSheetInput:
    request = parse_manifest(canonical(document)).input
    assert isinstance(request, CharacterSheetInput)
    return request


def test_a_redo_is_the_sheets_own_manifest_that_reuses_all_other_views() -> None:
    first = sheet(tenant="acme", priority=7, metadata={"a": 1}, max_cost_usd=0.2)
    document = redo_manifest(first, {"front", "back"})
    manifest = parse_manifest(canonical(document))
    assert (manifest.tenant, manifest.priority, manifest.metadata) == ("acme", 7, {"a": 1})
    assert manifest.max_cost_usd == 0.2
    request = asked(document)
    assert [view.id for view in request.new_views] == ["front", "back"]
    assert request.reuse is not None
    assert (request.reuse.job, len(request.reuse.views)) == ("ann", 8)
    assert request.views == "ten"


def test_a_seed_and_a_deadline_of_the_first_job_do_not_come_along() -> None:
    document = redo_manifest(sheet(deadline="2026-01-01T00:00:00Z", input={"seed": 5}), {"front"})
    assert "deadline" not in document
    assert asked(document).seed is None
    assert asked(redo_manifest(sheet(input={"seed": 5}), {"front"}, seed=5)).seed == 5


def test_changes_are_of_the_views_that_are_made_alone() -> None:
    first = sheet(input={"view_ids": ["back", "front", "side-left"]})
    document = redo_manifest(first, {"front"}, {"expression": "smiling", "head": "up"})
    by_id = {view.id: view for view in asked(document).chosen_views}
    assert list(by_id) == ["back", "front", "side-left"]
    assert (by_id["front"].expression, by_id["front"].head.pitch) == ("smiling", 20.0)
    unchanged = {view.id: view for view in asked(redo_manifest(first, {"front"})).chosen_views}
    for id in ("back", "side-left"):
        assert by_id[id] == unchanged[id]


def test_what_cannot_be_set_is_named_with_what_can() -> None:
    with pytest.raises(InvalidInput) as refused:
        redo_manifest(sheet(), {"front"}, {"expresion": "smiling"})
    assert refused.value.hint == "Did you mean 'expression'?"


def test_a_redo_of_all_views_reuses_none() -> None:
    first = sheet(input={"view_ids": ["front", "back"]})
    assert asked(redo_manifest(first, {"front", "back"})).reuse is None


def test_a_redo_of_a_redo_reuses_of_that_one_and_counts_on_from_the_first() -> None:
    again = sheet("ann-r2", input={"reuse": {"job": "ann", "views": ["front"]}})
    request = asked(redo_manifest(again, {"back"}))
    assert request.reuse is not None
    assert request.reuse.job == "ann-r2"
    assert redo_root(again, NOBODY) == "ann"
    assert redo_root(sheet("ann-r2"), NOBODY) == "ann-r2", "its name alone makes it no redo"
    assert redo_root(sheet("ann"), NOBODY) == "ann"


def test_a_redo_that_made_all_views_again_is_told_by_the_job_that_it_is_named_after() -> None:
    assert redo_root(sheet("ann-r3"), {"ann"}.__contains__) == "ann"
    assert redo_root(sheet("ann-r"), {"ann"}.__contains__) == "ann-r"
    assert redo_root(sheet("ann-rx2"), {"ann"}.__contains__) == "ann-rx2"
