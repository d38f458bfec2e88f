"""What a dispatcher makes of a character sheet that was begun."""

from dataclasses import replace
from typing import Any

import pytest

from config.settings import Settings
from handlers.character_sheet.combinations import Making
from handlers.character_sheet.records import Picture, SheetRecords, Try
from pipeline.contract.lease import Lease
from pipeline.contract.manifest import parse_manifest
from pipeline.contract.result import Result, ResultFile, Status
from pipeline.dispatcher.preflight import check_work, preflight
from pipeline.queue.protocol import Preflight
from pipeline.queue.spawn import SpawnPayload
from pipeline.runtime import RuntimeConfig, load_runtime
from pipeline.sheets.cells import StoredSheet
from pipeline.sheets.end_files import EndFiles
from pipeline.sheets.sheet_end import SheetEnd
from tests.support.jobs import NOW, a_lease
from tests.support.manifests import body
from tests.support.sheets import sheet_manifest, sheet_plan

RUNTIME: RuntimeConfig = load_runtime(Settings(max_attempts=3, environment="test"), "local")
PICTURE = Picture(key="k", bytes=1, sha256="s", width=64, height=64, content_type="image/png")
FRONT = Try(number=1, view="v1", k=1, seed=7, picture=PICTURE, seconds=3.0)
BEGUN = StoredSheet(sheet_plan([Making.INSTANTID] * 2), SheetRecords.of([FRONT]))
CHEAP = sheet_manifest(max_cost_usd=0.000001)


def decide(
    manifest: bytes = CHEAP, sheet: StoredSheet | None = BEGUN, **lease: Any
) -> SpawnPayload | Result | Lease:
    held = a_lease(**{"attempt": 2, "tenant": None, "model": "character-sheet", **lease})
    return preflight(Preflight(held, "etag", manifest), RUNTIME, NOW, find_sheet=lambda _: sheet)


def test_its_price_is_not_judged_again() -> None:
    assert isinstance(decide(entry="inbox/job.json"), SpawnPayload)


@pytest.mark.parametrize(("attempt", "sheet"), [(1, BEGUN), (2, None)])
def test_before_a_plan_stands_its_price_is_judged(attempt: int, sheet: StoredSheet | None) -> None:
    refused = decide(sheet=sheet, attempt=attempt, entry="inbox/job.json")
    assert isinstance(refused, Result)
    assert refused.error is not None
    assert (refused.status, refused.error.code) == (Status.REJECTED, "over_budget")


@pytest.mark.parametrize(("share", "taken"), [(0.99, False), (1.01, True)])
def test_a_budget_for_one_try_a_view_is_enough_to_begin(share: float, taken: bool) -> None:
    """Above that estimate and below the one for all tries the sheet may end partial."""
    known = check_work("job", parse_manifest(sheet_manifest()), RUNTIME)
    assert known.usd is not None
    assert known.most_usd is not None
    assert known.usd * 2 < known.most_usd
    budget = sheet_manifest(max_cost_usd=known.usd * share)
    decided = decide(budget, None, attempt=1, entry="inbox/job.json")
    assert isinstance(decided, SpawnPayload) is taken


def test_the_last_failure_leaves_what_was_made() -> None:
    ended = decide(failures=3, entry="inbox/job.json")
    assert isinstance(ended, Result)
    assert (ended.status, ended.partial, ended.error) == (Status.SUCCEEDED, True, None)
    assert [output.view and output.view.id for output in ended.outputs] == ["v1"]
    assert [missing.reason for missing in ended.missing] == ["attempts_exhausted"]
    assert ended.provenance is not None


def test_under_min_views_it_fails_and_names_what_it_has() -> None:
    more = replace(BEGUN, plan=sheet_plan([Making.INSTANTID] * 2, min_views=2))
    ended = decide(sheet=more, failures=3, entry="inbox/job.json")
    assert isinstance(ended, Result)
    assert ended.error is not None
    assert (ended.status, ended.error.code) == (Status.FAILED, "attempts_exhausted")
    assert len(ended.outputs) == 1
    names = [event.event for event in ended.events]
    assert names.count("modal_character_sheet_generation_failed") == 1


def test_what_is_said_of_the_views_is_written_before_its_result_names_it() -> None:
    told = EndFiles((ResultFile(name="n", key="k", bytes=1, sha256="s", content_type="c"),))
    asked_for = []

    def write(end: SheetEnd, folder: str) -> EndFiles:
        asked_for.append((end.why, end.made, folder))
        return told

    held = a_lease(attempt=2, failures=3, nonce="mine", model="character-sheet", tenant=None)
    ask = Preflight(held, "etag", CHEAP)
    ended = preflight(ask, RUNTIME, NOW, find_sheet=lambda _: BEGUN, write_files=write)
    assert isinstance(ended, Result)
    assert ended.files == told.files
    assert asked_for == [("attempts_exhausted", 1, "jobs/job/out/a2/mine/")]


def asked(_: str) -> StoredSheet | None:
    raise AssertionError("nobody needs to know")


@pytest.mark.parametrize("budget", [{}, {"max_cost_usd": 1.0}])
def test_another_kind_is_not_looked_for(budget: dict[str, Any]) -> None:
    ask = Preflight(a_lease(attempt=2), "etag", body(tenant="acme", **budget))
    assert isinstance(preflight(ask, RUNTIME, NOW, find_sheet=asked), SpawnPayload)


def test_without_a_budget_a_sheet_is_not_looked_for() -> None:
    lease = a_lease(attempt=2, tenant=None, model="character-sheet", entry="inbox/job.json")
    ask = Preflight(lease, "etag", sheet_manifest())
    assert isinstance(preflight(ask, RUNTIME, NOW, find_sheet=asked), SpawnPayload)
