from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from config.errors import InvalidInput, RylaError, UnknownJob
from pipeline.contract.keys import lease_key, manifest_key, plan_key, result_key
from pipeline.contract.result import Result, ResultFile, Status
from pipeline.sheets.ended_sheet import (
    MAX_DOCUMENT_BYTES,
    EndedSheet,
    read_sheet_document,
    require_ended_sheet,
)
from pipeline.store.base import Always
from pipeline.store.conditional import SafeStore
from pipeline.store.memory import MemoryStore
from tests.support.sheets import planned_view, sheet_plan

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def result(**changes: Any) -> Result:
    fields = {
        "id": "sheet",
        "status": Status.SUCCEEDED,
        "model": "character-sheet",
        "tenant": "acme",
        "attempt": 1,
        "nonce": "n",
        "manifest_sha256": "0" * 64,
        "finished_at": NOON,
    }
    return Result.model_validate({**fields, **changes})


def put(store: SafeStore, key: str, body: bytes) -> None:
    store.raw.put(key, body, Always())


@pytest.fixture
def store() -> SafeStore:
    store = SafeStore(MemoryStore(lambda: NOON))
    put(store, manifest_key("sheet"), b"{}")
    put(store, plan_key("sheet"), sheet_plan().body())
    put(store, result_key("sheet"), result().body())
    return store


def test_an_ended_sheet_is_read_with_manifest_result_and_plan(store: SafeStore) -> None:
    sheet = require_ended_sheet(store, "sheet")
    assert (sheet.id, sheet.tenant, sheet.manifest) == ("sheet", "acme", b"{}")
    assert sheet.plan == sheet_plan()
    assert sheet.view(2).id == "v2"


@pytest.mark.parametrize(
    ("key", "body", "said", "error"),
    [
        (result_key("sheet"), None, "has not ended", InvalidInput),
        (result_key("sheet"), b"{", "has not ended", InvalidInput),
        (result_key("sheet"), result(id="other").body(), "has not ended", InvalidInput),
        (result_key("sheet"), result(model="flux-dev").body(), "flux-dev", InvalidInput),
        (plan_key("sheet"), None, "before anything", InvalidInput),
        (plan_key("sheet"), sheet_plan(job_id="x").body(), "before anything", InvalidInput),
    ],
)
def test_what_is_no_ended_sheet_is_told_by_what_it_is(
    store: SafeStore, key: str, body: bytes | None, said: str, error: type[RylaError]
) -> None:
    if body is None:
        store.delete(key)
    else:
        put(store, key, body)
    with pytest.raises(error, match=said):
        require_ended_sheet(store, "sheet")


def test_a_job_that_nobody_knows_is_told_from_one_that_goes_on(store: SafeStore) -> None:
    with pytest.raises(UnknownJob) as unknown:
        require_ended_sheet(store, "nobody")
    assert "`ryla status nobody`" in str(unknown.value.hint)
    put(store, lease_key("nobody"), b"{}")
    with pytest.raises(InvalidInput, match="has not ended"):
        require_ended_sheet(store, "nobody")


def test_views_are_named_by_number_name_or_both_and_told_in_the_order_of_the_sheet() -> None:
    views = (planned_view(1, id="front"), planned_view(2, id="1"), planned_view(3, id="back"))
    sheet = EndedSheet(b"", result(), sheet_plan(views=views))
    named = sheet.views_named(["3", "front", "02-1", "back"], "--view")
    assert [view.nn for view in named] == [1, 2, 3]
    with pytest.raises(InvalidInput, match="the number of one view and the name of another"):
        sheet.views_named(["1"], "--view")
    for unknown in ("4", "0", "fron", "٣", ""):
        with pytest.raises(InvalidInput) as refused:
            sheet.views_named([unknown], "--view")
        assert "01-front, 02-1, 03-back" in (refused.value.hint or "")


def test_of_a_document_no_more_is_read_than_any_sheet_has(store: SafeStore) -> None:
    key = "jobs/sheet/out/a1/sheet.json"
    file = ResultFile(name="sheet.json", key=key, bytes=1, sha256="0" * 64, content_type="x")
    assert read_sheet_document(store, result(files=(file,))) is None
    put(store, key, b" " * (MAX_DOCUMENT_BYTES + 1))
    assert read_sheet_document(store, result(files=(file,))) is None
    assert read_sheet_document(store, result()) is None


def test_a_manifest_that_somebody_has_overwritten_is_refused(store: SafeStore) -> None:
    sheet = require_ended_sheet(store, "sheet")
    other = b'{"version": 1, "model": "flux-dev", "input": {"prompt": "a fox"}}'
    with pytest.raises(InvalidInput, match="the kind flux-dev"):
        _ = replace(sheet, manifest=other).request
