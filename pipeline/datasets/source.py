"""All that a dataset is made of, read from the bucket.

Whoever can write to the bucket can put anything there. So what is read is bounded, and what the
result names must be what it says, by its sha256.
"""

import hashlib
from dataclasses import dataclass

from config.errors import DatasetError, OutputInvalid, OutputsMissing
from handlers.character_sheet.records import SheetRecords
from handlers.character_sheet.sheet_document import SheetDocument
from handlers.character_sheet.sheet_files import DOCUMENT
from pipeline.contract.document import read_document
from pipeline.contract.keys import manifest_key
from pipeline.contract.manifest import Consent
from pipeline.contract.result import Result
from pipeline.datasets.selection import Verdicts
from pipeline.sheets.cells import read_records
from pipeline.sheets.ended_sheet import MAX_DOCUMENT_BYTES, EndedSheet, require_ended_sheet
from pipeline.sheets.reviewed_views import reviewed_views
from pipeline.store.conditional import SafeStore

MAX_PICTURE_BYTES = 64 * 2**20
"""Ten times what a PNG of the largest view takes."""


@dataclass(frozen=True)
class DatasetSource:
    sheet: EndedSheet
    records: SheetRecords
    consent: Consent | None
    """As the manifest states it."""
    document: SheetDocument | None
    """None where nobody looked at the pictures."""
    verdicts: Verdicts
    """A person's."""


def read_source(store: SafeStore, id: str) -> DatasetSource:
    """Raises InvalidId, UnknownJob, InvalidInput for a job that has not ended or is no sheet and
    for what is no review, OutputInvalid and OutputsMissing for objects that are not what the result
    says."""
    sheet = require_ended_sheet(store, id)
    return DatasetSource(
        sheet,
        read_records(store, id),
        _consent(sheet),
        _document(store, sheet.result),
        {view: said.verdict for view, said in reviewed_views(store, id).items()},
    )


def _consent(sheet: EndedSheet) -> Consent | None:
    key = manifest_key(sheet.id)
    if hashlib.sha256(sheet.manifest).hexdigest() != sheet.result.manifest_sha256:
        raise _changed("manifest", key, _object(key))
    stated = read_document(sheet.manifest).get("consent")
    try:
        return None if stated is None else Consent.model_validate(stated)
    except ValueError:
        raise DatasetError(
            f"{key} states a consent that cannot be read", field="consent", value=key
        ) from None


def _document(store: SafeStore, result: Result) -> SheetDocument | None:
    named = next((file for file in result.files if file.name == DOCUMENT), None)
    if named is None:
        return None
    size = min(named.bytes, MAX_DOCUMENT_BYTES)
    blamed = _object(named.key)
    return SheetDocument.parse(_read(store, DOCUMENT, named.key, size, named.sha256, blamed))


def read_picture(store: SafeStore, view: str, key: str, size: int, sha256: str) -> bytes:
    """Of a view by its name. Raises OutputsMissing or OutputInvalid, which name the view, also for
    one of more than MAX_PICTURE_BYTES."""
    blamed = _Blamed(
        "view", view, f"Make the view again, or leave it out: reject {view} in a review."
    )
    return _read(store, view, key, min(size, MAX_PICTURE_BYTES), sha256, blamed)


@dataclass(frozen=True)
class _Blamed:
    """What an error says of an object that is gone or has other bytes, and what to do."""

    field: str
    value: str
    hint: str


def _object(key: str) -> _Blamed:
    """One that no view stands for."""
    return _Blamed("key", key, "The pipeline never changes or deletes it: put it back as it was.")


def _read(store: SafeStore, what: str, key: str, size: int, sha256: str, blamed: _Blamed) -> bytes:
    """At most `size` bytes are read. Raises OutputsMissing or OutputInvalid."""
    stored = store.get(key, limit=size)
    if stored is None:
        raise OutputsMissing(f"{what}: {key} is not in the bucket", **vars(blamed))
    if stored.size > size or hashlib.sha256(stored.body).hexdigest() != sha256:
        raise _changed(what, key, blamed)
    return stored.body


def _changed(what: str, key: str, blamed: _Blamed) -> OutputInvalid:
    return OutputInvalid(
        f"{what}: {key} is not what the result says: it has other bytes", **vars(blamed)
    )
