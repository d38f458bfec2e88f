import json

import pytest

from handlers.character_sheet.records import (
    Choice,
    Composition,
    Picture,
    SheetRecords,
    Try,
    parse_record,
    record_name,
)

PICTURE = Picture(key="k", bytes=1, sha256="s", width=64, height=64, content_type="image/png")
COMPOSED = Composition(number=1, view="front", k=1, seed=7, picture=PICTURE, seconds=2.0)
FACED = Try(number=1, view="front", k=2, seed=8, picture=PICTURE, seconds=3.0, composition=1)
CHOSEN = Choice(number=1, view="front", k=2)


def test_a_record_is_named_by_its_view_and_its_attempt() -> None:
    assert [record_name(each) for each in (COMPOSED, FACED, CHOSEN)] == [
        "01-front.c1",
        "01-front.t2",
        "01-front",
    ]


def test_a_record_is_read_as_it_was_written() -> None:
    for record in (COMPOSED, FACED, CHOSEN):
        assert parse_record(record_name(record), record.body()) == record


def test_fields_of_a_later_version_are_passed_over() -> None:
    body = json.dumps({**json.loads(FACED.body()), "later": {"of": 2}}).encode()
    assert parse_record("01-front.t2", body) == FACED


def test_what_is_no_record_of_that_name_is_none() -> None:
    assert parse_record("01-front.t2", b"{") is None
    assert parse_record("01-front.t3", FACED.body()) is None
    assert parse_record("notes", FACED.body()) is None


def test_a_view_knows_what_was_chosen_and_what_it_took() -> None:
    view = SheetRecords.of([COMPOSED, FACED, CHOSEN]).of_view(1)
    assert (view.chosen, view.seconds, view.attempts) == (FACED, 5.0, 2)


def test_only_views_without_a_fault_are_made() -> None:
    missing = Choice(number=2, view="back", k=1, of="c", fault="face_shown")
    assert SheetRecords.of([COMPOSED, FACED, CHOSEN, missing]).made == (1,)


@pytest.mark.parametrize(
    ("reason", "ok"),
    [(None, True), ("wrong_yaw", False), ("unmeasured", None), ("face_models_missing", None)],
)
def test_a_picture_is_the_view_that_was_asked_for_unless_something_was_found_against_it(
    reason: str | None, ok: bool | None
) -> None:
    asked = {"yaw": -85.0, "framing": "half"}
    assert FACED.model_copy(update={"asked": asked, "reason": reason}).view_ok is ok
    assert FACED.model_copy(update={"reason": reason}).view_ok is None
