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
        raise _changed("manifest", key)
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
    return SheetDocument.parse(read_checked(store, DOCUMENT, named.key, size, named.sha256))


def read_picture(store: SafeStore, view: str, key: str, size: int, sha256: str) -> bytes:
    """Of a view by its name. Raises as read_checked does, also for one of more than
    MAX_PICTURE_BYTES."""
    return read_checked(store, view, key, min(size, MAX_PICTURE_BYTES), sha256)


def read_checked(store: SafeStore, what: str, key: str, size: int, sha256: str) -> bytes:
    """At most `size` bytes are read. Raises OutputsMissing or OutputInvalid, which name `what`."""
    stored = store.get(key, limit=size)
    if stored is None:
        raise OutputsMissing(
            f"{what}: {key} is not in the bucket",
            field="view",
            value=what,
            hint=f"Make the view again, or leave it out: reject {what} in a review.",
        )
    if stored.size > size or hashlib.sha256(stored.body).hexdigest() != sha256:
        raise _changed(what, key)
    return stored.body


def _changed(what: str, key: str) -> OutputInvalid:
    return OutputInvalid(
        f"{what}: {key} is not what the result says: it has other bytes",
        field="view",
        value=what,
        hint="Somebody has overwritten it. Make the view again, or reject it in a review.",
    )
