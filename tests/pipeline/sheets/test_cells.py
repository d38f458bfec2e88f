from datetime import UTC, datetime

import pytest

from handlers.character_sheet.records import Choice, Composition, Picture, Try
from pipeline.contract.keys import cell_key, plan_key
from pipeline.sheets.cells import (
    adopt_plan,
    keep_record,
    read_plan,
    read_records,
    read_sheet,
    recorded_picture,
)
from pipeline.store.base import Always
from pipeline.store.conditional import SafeStore
from pipeline.store.memory import MemoryStore
from tests.support.sheets import sheet_plan

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
PICTURE = Picture(key="k", bytes=1, sha256="s", width=64, height=64, content_type="image/png")
COMPOSED = Composition(number=1, view="v1", k=1, seed=7, picture=PICTURE, seconds=2.0)
FACED = Try(number=1, view="v1", k=1, seed=7, picture=PICTURE, seconds=3.0, composition=1)
CHOSEN = Choice(number=1, view="v1", k=1)


@pytest.fixture
def store() -> SafeStore:
    return SafeStore(MemoryStore(lambda: NOON))


def test_the_first_plan_binds_every_later_execution(store: SafeStore) -> None:
    first, second = sheet_plan(), sheet_plan(attempts=1)
    assert adopt_plan(store, "sheet", first) == first
    assert adopt_plan(store, "sheet", second) == first
    assert read_plan(store, "sheet") == first


def test_a_plan_that_cannot_be_read_binds_nobody(store: SafeStore) -> None:
    store.raw.put(plan_key("sheet"), b"{", Always())
    assert adopt_plan(store, "sheet", sheet_plan()) == sheet_plan()
    assert read_plan(store, "sheet") is None


def test_a_record_that_stands_is_adopted_and_not_written_over(store: SafeStore) -> None:
    assert keep_record(store, "sheet", FACED) == FACED
    other = FACED.model_copy(update={"seed": 8})
    assert keep_record(store, "sheet", other) == FACED
    stored = store.get(cell_key("sheet", "01-v1.t1"))
    assert stored is not None
    assert stored.body == FACED.body()


def test_all_records_are_read_and_strangers_objects_passed_over(store: SafeStore) -> None:
    for record in (COMPOSED, FACED, CHOSEN):
        keep_record(store, "sheet", record)
    store.raw.put(cell_key("sheet", "notes"), b"hello", Always())
    view = read_records(store, "sheet").of_view(1)
    assert (view.compositions, view.tries, view.choice) == ({1: COMPOSED}, {1: FACED}, CHOSEN)


def test_before_its_plan_stands_there_is_no_sheet(store: SafeStore) -> None:
    assert read_sheet(store, "sheet") is None
    adopt_plan(store, "sheet", sheet_plan())
    sheet = read_sheet(store, "sheet")
    assert sheet is not None
    assert sheet.records.views == {}


def test_a_picture_is_found_by_its_key_in_the_record_of_its_step(store: SafeStore) -> None:
    key = "jobs/sheet/out/a2/01-v1.t1.png"
    assert recorded_picture(store, "sheet", key) is None
    picture = PICTURE.model_copy(update={"key": key})
    keep_record(store, "sheet", FACED.model_copy(update={"picture": picture}))
    keep_record(store, "sheet", CHOSEN)
    assert recorded_picture(store, "sheet", key) == picture
    assert recorded_picture(store, "sheet", key.replace("a2", "a1")) is None
    assert recorded_picture(store, "sheet", "jobs/sheet/out/a2/01-v1.png") is None
