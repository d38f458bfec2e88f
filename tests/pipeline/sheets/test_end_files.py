"""What is said of a sheet that ends, stored by whoever ends it."""

import hashlib
import io
from collections.abc import Iterator
from typing import Any

import pytest
from PIL import Image

from config.errors import StoreDenied, StoreUnavailable
from handlers.character_sheet import sheet_files
from handlers.character_sheet.records import SheetRecords
from handlers.character_sheet.sheet_document import SheetDocument
from pipeline.sheets.cells import StoredSheet, read_sheet
from pipeline.sheets.end_files import (
    MAX_PICTURE_BYTES,
    NO_FILES,
    EndFiles,
    EndFilesWriter,
    end_folder,
    write_end_files,
)
from pipeline.sheets.sheet_end import SheetEnd
from pipeline.store.base import Always
from tests.support.begun_sheets import begun_plan, made_view, put_begun_sheet
from tests.support.jobs import a_lease
from tests.support.pipeline_fixture import PipelineFixture
from tests.support.sheets import flat_picture

FOLDER = "jobs/sheet/out/a2/n/"


@pytest.fixture
def pipeline() -> Iterator[PipelineFixture]:
    pipeline = PipelineFixture()
    put_begun_sheet(pipeline.raw._store)
    yield pipeline
    pipeline.close()


def ending(pipeline: PipelineFixture) -> SheetEnd:
    sheet = read_sheet(pipeline.store, "sheet")
    assert sheet is not None
    pipeline.raw.gets.clear()
    return SheetEnd.of(sheet, "cancelled", 0.5)


def body(pipeline: PipelineFixture, key: str) -> bytes:
    stored = pipeline.raw._store.get(key)
    assert stored is not None
    return stored.body


def document(pipeline: PipelineFixture, written: EndFiles) -> SheetDocument:
    found = SheetDocument.parse(body(pipeline, written.files[0].key))
    assert found is not None
    return found


def is_drawn(pipeline: PipelineFixture, written: EndFiles, number: int) -> bool:
    """Whether the contact sheet shows the picture of that view."""
    shown = Image.open(io.BytesIO(body(pipeline, written.files[1].key))).getcolors(2**20)
    picture = Image.open(io.BytesIO(flat_picture(f"sheet-{number}")))
    return picture.getpixel((0, 0)) in {colour for _, colour in shown or ()}


def test_both_files_stand_as_they_are_told(pipeline: PipelineFixture) -> None:
    written = write_end_files(pipeline.store, ending(pipeline), FOLDER)
    assert [file.key for file in written.files] == [
        f"{FOLDER}sheet.json",
        f"{FOLDER}contact-sheet.png",
    ]
    for file in written.files:
        stands = body(pipeline, file.key)
        assert (len(stands), hashlib.sha256(stands).hexdigest()) == (file.bytes, file.sha256)
    assert is_drawn(pipeline, written, 1)
    assert is_drawn(pipeline, written, 2)


def test_scores_and_the_likeness_of_pairs_are_those_of_the_records(
    pipeline: PipelineFixture,
) -> None:
    """Nobody measures a face: there is no network here."""
    written = write_end_files(pipeline.store, ending(pipeline), FOLDER)
    told = document(pipeline, written)
    assert [view.match for view in told.views] == [0.9, 0.9, None]
    assert [view.missing for view in told.views] == [None, None, "cancelled"]
    assert told.set == written.verdict
    assert (told.set.made, told.set.mean_alike, told.usd) == (2, 1.0, 0.5)


def test_each_chosen_picture_is_read_once_and_nothing_else(pipeline: PipelineFixture) -> None:
    write_end_files(pipeline.store, ending(pipeline), FOLDER)
    assert pipeline.raw.gets == [made_view(number).picture.key for number in (1, 2)]


@pytest.mark.parametrize("found", [None, b"", b"text", flat_picture("another")], ids="abcd")
def test_a_picture_that_is_gone_or_another_leaves_its_place_to_words(
    pipeline: PipelineFixture, found: bytes | None
) -> None:
    key = made_view(1).picture.key
    if found is None:
        pipeline.raw._store.delete(key)
    else:
        pipeline.raw._store.put(key, found, Always())
    written = write_end_files(pipeline.store, ending(pipeline), FOLDER)
    assert not is_drawn(pipeline, written, 1)
    assert is_drawn(pipeline, written, 2)
    assert document(pipeline, written).set.mean_alike == 1.0


def test_no_more_is_read_than_a_picture_may_have(pipeline: PipelineFixture) -> None:
    huge = made_view(1).picture.model_copy(update={"bytes": MAX_PICTURE_BYTES + 1})
    end = ending(pipeline)
    records = SheetRecords.of([made_view(1, picture=huge), made_view(2)])
    write_end_files(pipeline.store, SheetEnd.of(StoredSheet(end.plan, records), "", 0.0), FOLDER)
    assert pipeline.raw.gets == [made_view(2).picture.key]


def test_a_sheet_of_which_nothing_was_made_has_them_too(pipeline: PipelineFixture) -> None:
    end = SheetEnd(begun_plan(), SheetRecords(), "deadline_exceeded", 0.0)
    written = write_end_files(pipeline.store, end, FOLDER)
    assert len(written.files) == 2
    assert {view.missing for view in document(pipeline, written).views} == {"deadline_exceeded"}


def test_a_sheet_that_cannot_be_drawn_ends_without_them(
    pipeline: PipelineFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise ValueError("a bug")

    monkeypatch.setattr(sheet_files, "sheet_files", broken)
    assert write_end_files(pipeline.store, ending(pipeline), FOLDER) == NO_FILES


def test_where_they_may_not_be_written_it_ends_without_them(pipeline: PipelineFixture) -> None:
    end = ending(pipeline)
    pipeline.raw.fail = lambda call, key: StoreDenied("no") if call == "PUT" else None
    assert write_end_files(pipeline.store, end, FOLDER) == NO_FILES


def test_a_store_that_is_away_ends_nothing(pipeline: PipelineFixture) -> None:
    end = ending(pipeline)
    pipeline.raw.fail = lambda call, key: StoreUnavailable("away")
    with pytest.raises(StoreUnavailable):
        write_end_files(pipeline.store, end, FOLDER)


def test_what_is_not_read_in_time_leaves_its_place_to_words(pipeline: PipelineFixture) -> None:
    """After the first picture the time is over."""
    clock = iter((0.0, 1.0, 7.0, 8.0))
    writer = EndFilesWriter(pipeline.store, read_s=6.0, monotonic=lambda: next(clock))
    written = writer.write(ending(pipeline), FOLDER)
    assert [is_drawn(pipeline, written, number) for number in (1, 2)] == [True, False]
    assert pipeline.raw.gets == [made_view(1).picture.key]


def test_whoever_does_not_get_its_turn_reads_no_pictures(pipeline: PipelineFixture) -> None:
    writer = EndFilesWriter(pipeline.store, wait_s=0.0)
    with writer.turn:
        written = writer.write(ending(pipeline), FOLDER)
    assert not pipeline.raw.gets
    assert len(written.files) == 2
    assert not writer.turn.locked()
    assert is_drawn(pipeline, writer.write(ending(pipeline), FOLDER), 1)


def test_nobody_else_writes_into_the_folder_of_whoever_ends_a_sheet() -> None:
    one, other = (end_folder(a_lease(nonce=nonce)) for nonce in ("n1", "n2"))
    assert one == "jobs/job/out/a1/n1/"
    assert one != other
