"""How a sheet ends by its records, whoever ends it."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from handlers.character_sheet.combinations import Making
from handlers.character_sheet.records import (
    FACE_BELOW_GATE,
    AnyRecord,
    Choice,
    Composition,
    Picture,
    RecordedScore,
    SheetRecords,
    Try,
)
from pipeline.contract.lease import Phase, Spent
from pipeline.contract.summary import Subject
from pipeline.notify.job_events import Origin
from pipeline.sheets.cells import StoredSheet
from pipeline.sheets.sheet_end import SheetEnd, spent_on
from tests.support.jobs import a_lease
from tests.support.sheets import sheet_plan

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
ABOUT = Subject("sheet", "inbox/sheet.json", NOON, kind="character-sheet", tenant="acme")
ORIGIN = Origin("production", "modal", "v1")
BOX = {"x": 1, "y": 1, "width": 9, "height": 9}


def picture(name: str) -> Picture:
    return Picture(
        key=f"jobs/sheet/out/a1/{name}.png",
        bytes=1,
        sha256="s",
        width=64,
        height=64,
        content_type="image/png",
    )


def tried(number: int, k: int = 1, **changes: Any) -> Try:
    fields = {
        "number": number,
        "view": f"v{number}",
        "k": k,
        "seed": 7,
        "picture": picture(f"{number}.t{k}"),
        "seconds": 3.0,
        "at": NOON,
        "score": RecordedScore.model_validate(
            {"similarity": 0.9, "match": 0.8, "embedder": "e", "faces_found": 1, "box": BOX}
        ),
        "asked": {"yaw": 0.0, "framing": "half"},
        "measured": {"yaw": 2.0, "framing": "half"},
    }
    return Try.model_validate({**fields, **changes})


def ending(*records: AnyRecord, why: str = "out_of_memory", **plan: Any) -> SheetEnd:
    one_pass = sheet_plan([Making.INSTANTID] * 3, **plan)
    return SheetEnd.of(StoredSheet(one_pass, SheetRecords.of(records)), why, 1.0)


def test_a_picture_without_a_fault_counts_before_its_choice_was_recorded() -> None:
    end = ending(tried(1))
    assert end.made == 1
    assert end.enough


def test_a_missing_view_says_what_its_best_picture_lacks_or_why_it_was_not_tried() -> None:
    below = tried(2, fault=FACE_BELOW_GATE)
    chosen = Choice(number=2, view="v2", k=1, fault=FACE_BELOW_GATE)
    again = tried(3, fault="wrong_yaw")
    missing = ending(below, chosen, again).fields["missing"]
    assert [(one.number, one.reason, one.tries, one.best) for one in missing] == [
        (1, "out_of_memory", 0, None),
        (2, FACE_BELOW_GATE, 1, "jobs/sheet/out/a1/2.t1.png"),
        (3, "out_of_memory", 1, "jobs/sheet/out/a1/3.t1.png"),
    ]


@pytest.mark.parametrize(("least", "enough", "partial"), [(2, True, True), (3, False, False)])
def test_with_min_views_it_is_a_partial_success(least: int, enough: bool, partial: bool) -> None:
    end = ending(tried(1), tried(3), min_views=least)
    assert (end.enough, end.fields["partial"]) == (enough, partial)
    assert [output.view.number for output in end.fields["outputs"]] == [1, 3]


def test_a_whole_sheet_is_not_partial() -> None:
    end = ending(tried(1), tried(2), tried(3))
    assert (end.fields["partial"], end.fields["missing"]) == (False, ())


def test_views_share_the_cost_by_the_seconds_of_their_steps() -> None:
    end = ending(tried(1, seconds=1.0), tried(2, seconds=3.0, fault="wrong_yaw"))
    [output], missing = end.fields["outputs"], end.fields["missing"]
    assert output.view.usd == 0.25
    assert [one.usd for one in missing] == [0.75, 0.0]


def test_an_event_is_told_from_its_record_alone() -> None:
    """Whoever tells it, when and with whatever else at hand."""
    records = (tried(1, fault="wrong_yaw", attempt=1), tried(1, 2, attempt=3))
    early = ending(*records, why="cancelled").events(ABOUT, ORIGIN, NOON)
    late = ending(*records, tried(2)).events(ABOUT, ORIGIN, NOON + timedelta(hours=1))
    assert [event.wire() for event in early] == [event.wire() for event in late][:2]
    told = [event.properties for event in early]
    assert [(each["view"], each["gate_try"], each["kept"], each["attempt"]) for each in told] == [
        ("v1", 0, False, 1),
        ("v1", 1, True, 3),
    ]


def test_the_match_of_a_profile_is_in_its_output_and_in_no_event() -> None:
    scored = tried(1).score.model_copy(update={"reason": "profile"})
    end = ending(tried(1, score=scored))
    [event] = end.events(ABOUT, ORIGIN, NOON)
    told = event.properties
    assert (told["consistency_score"], told["similarity"], told["reason"]) == (None, 0.9, "profile")


def test_pictures_that_no_model_made_are_told_as_such() -> None:
    [event] = ending(tried(1, engine="standin")).events(ABOUT, ORIGIN, NOON)
    assert event.properties["engine"] == "standin"
    [event] = ending(tried(1, engine="comfyui")).events(ABOUT, ORIGIN, NOON)
    assert event.properties["engine"] == "modal"


def test_a_back_view_has_one_event_and_no_face() -> None:
    made = Composition(
        number=1,
        view="v1",
        k=1,
        seed=1,
        picture=picture("1.c1"),
        seconds=1.0,
        asked={"yaw": None, "framing": "full"},
    )
    sheet = StoredSheet(sheet_plan([Making.COMPOSED]), SheetRecords.of([made]))
    end = SheetEnd.of(sheet, "cancelled", 0.0)
    [output] = end.fields["outputs"]
    assert (output.face, output.face_reason, output.view.ok) == (None, "view_from_behind", True)
    [event] = end.events(ABOUT, ORIGIN, NOON)
    assert event.properties["similarity"] is None
    told = [event.properties[name] for name in ("view_ok", "asked_yaw", "asked_framing")]
    assert told == [True, None, "full"]


LEASE = a_lease(
    id="sheet",
    entry="inbox/sheet.json",
    model="character-sheet",
    attempt=2,
    phase=Phase.RUNNING,
    ttl_s=60,
    submitted_at=NOON,
)


@pytest.mark.parametrize(("counted", "spent"), [(0.1, 0.5), (0.7, 0.7)])
def test_records_prove_what_a_lost_lease_no_longer_tells(counted: float, spent: float) -> None:
    made = [tried(1, usd=0.2, attempt=1), tried(2, usd=0.3, attempt=1), tried(3, usd=9, attempt=2)]
    sheet = StoredSheet(sheet_plan([Making.INSTANTID] * 3), SheetRecords.of(made))
    lease = LEASE.model_copy(update={"spent": Spent(usd=counted)})
    assert spent_on(sheet, lease).usd == spent
