"""Plan and records of a character sheet in the bucket. Each is created once."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

import structlog

from handlers.character_sheet.records import (
    AnyRecord,
    Choice,
    Picture,
    SheetRecords,
    parse_record,
    record_name,
)
from handlers.character_sheet.sheet_plan import SheetPlan
from pipeline.contract.keys import MAX_BYTES, cell_key, cells_folder, plan_key
from pipeline.store.conditional import SafeStore, Won, listed

SHEET = "character-sheet"
"""The kind whose jobs have plan and records."""


@dataclass(frozen=True)
class StoredSheet:
    """A sheet as far as it was begun."""

    plan: SheetPlan
    records: SheetRecords


def read_plan(store: SafeStore, id: str) -> SheetPlan | None:
    """The plan that binds the job; None while no execution has made one, or for bytes that are
    none."""
    stored = store.get(plan_key(id))
    return None if stored is None else SheetPlan.parse(stored.body)


def adopt_plan(store: SafeStore, id: str, proposed: SheetPlan) -> SheetPlan:
    """The plan that binds the job: an earlier execution's, or this one.

    Raises StoreUnavailable. A plan that cannot be read binds nobody.
    """
    outcome = store.create(plan_key(id), proposed.body())
    if isinstance(outcome, Won) or outcome.current is None:
        return proposed
    standing = SheetPlan.parse(outcome.current.body)
    if standing is None:
        structlog.get_logger(__name__).error("plan_unreadable", job=id)
    return standing or proposed


def read_records(store: SafeStore, id: str) -> SheetRecords:
    """All records that stand, in one LIST and a GET each."""
    return SheetRecords.of(_records(store, id))


def _records(store: SafeStore, id: str) -> Iterator[AnyRecord]:
    folder = cells_folder(id)
    for entry in listed(store, folder):
        stored = store.get(entry.key)
        name = entry.key.removeprefix(folder).removesuffix(".json")
        record = None if stored is None else parse_record(name, stored.body)
        if record is None:
            structlog.get_logger(__name__).warning("no_record", key=entry.key)
        else:
            yield record


def read_sheet(store: SafeStore, id: str) -> StoredSheet | None:
    """What stands of a job's sheet; None where no execution has begun it."""
    plan = read_plan(store, id)
    return None if plan is None else StoredSheet(plan, read_records(store, id))


def recorded_picture(store: SafeStore, id: str, key: str) -> Picture | None:
    """The picture at this key, as the record of the step that made it has it; None where none does.
    A sheet that reuses a view has its records too."""
    name = PurePosixPath(key).stem
    stored = store.get(cell_key(id, name), limit=MAX_BYTES)
    record = None if stored is None else parse_record(name, stored.body)
    if record is None or isinstance(record, Choice) or record.picture.key != key:
        return None
    return record.picture


def keep_record(store: SafeStore, id: str, record: AnyRecord) -> AnyRecord:
    """Create a record. The one that stands then: an earlier one is adopted."""
    name = record_name(record)
    outcome = store.create(cell_key(id, name), record.body())
    if isinstance(outcome, Won) or outcome.current is None:
        return record
    return parse_record(name, outcome.current.body) or record
