"""What a worker does for a character sheet that it ends: reads all records once more, and stores
what is said of them beside the pictures."""

import hashlib

import structlog

from config.errors import FaceModelsMissing, RylaError
from handlers.character_sheet.document import SheetDocument
from handlers.character_sheet.files import SheetFile, sheet_files
from handlers.character_sheet.records import SheetRecords
from handlers.character_sheet.steps import settled
from handlers.faces.boxes import FaceFinder
from handlers.faces.measurement import FaceUse
from pipeline.contract.keys import attempt_folder
from pipeline.contract.lease import Lease
from pipeline.contract.result import ResultFile
from pipeline.sheets.cells import StoredSheet, read_sheet
from pipeline.sheets.sheet_end import spent_on
from pipeline.worker.context import RenderState, WorkerContext
from pipeline.worker.heartbeat import Heartbeat


def end_sheet(
    state: RenderState,
    why: str,
    lease: Lease,
    context: WorkerContext,
    heart: Heartbeat,
    seconds: float,
) -> None:
    """Fills `state.sheet`, `state.files` and `state.verdict`. `why` is told of views that were not
    tried any more; the execution took `seconds` so far.

    Another execution may have kept more than this one has read, and one that failed at once has
    read nothing. The files are told from the records and can be made again, so what goes wrong with
    them is no matter of the job. Raises Superseded when the lease is lost meanwhile.
    """
    state.sheet = heart.insist(lambda: read_sheet(context.store, lease.id))
    if state.sheet is None:
        return
    usd = spent_on(state.sheet, lease).usd + seconds * lease.rate_usd_per_s
    try:
        files = _files(state.sheet, why, usd, context)
        state.files = [_stored(file, lease, context, heart) for file in files]
    except RylaError as error:
        log = structlog.get_logger(__name__)
        log.warning("sheet_files_not_written", job=lease.id, error=error.message)
        return
    document = SheetDocument.parse(files[0].body)
    state.verdict = None if document is None else document.set


def _files(
    sheet: StoredSheet, why: str, usd: float, context: WorkerContext
) -> tuple[SheetFile, ...]:
    records = settled(sheet.plan, sheet.records)
    return sheet_files(
        sheet.plan,
        records,
        _pictures(records, context),
        usd=usd,
        why_missing=why,
        finder=_finder(context),
        calibration=context.faces.calibration(),
    )


def _pictures(records: SheetRecords, context: WorkerContext) -> dict[int, bytes]:
    """Those that were chosen, by a view's number."""
    found = {}
    for number in records.made:
        chosen = records.of_view(number).chosen
        stored = None if chosen is None else context.store.get(chosen.picture.key)
        if stored is not None:
            found[number] = stored.body
    return found


def _finder(context: WorkerContext) -> FaceFinder | None:
    try:
        return context.faces.finder(FaceUse.SCORE)
    except FaceModelsMissing:
        return None


def _stored(file: SheetFile, lease: Lease, context: WorkerContext, heart: Heartbeat) -> ResultFile:
    key = attempt_folder(lease.id, lease.attempt) + file.name
    heart.insist(lambda: context.store.write(key, file.body, file.content_type))
    return ResultFile(
        name=file.name,
        key=key,
        bytes=len(file.body),
        sha256=hashlib.sha256(file.body).hexdigest(),
        content_type=file.content_type,
    )
