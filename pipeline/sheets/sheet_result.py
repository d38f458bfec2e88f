"""The result of a character sheet that somebody ends who made none of it: a dispatcher that starts
no further execution, or whoever cancels it. Pure, but for the files that it has written."""

from collections.abc import Sequence
from datetime import datetime

from config.errors import RylaError
from events.moments import Moment
from events.stored_event import StoredEvent
from pipeline.contract.error_info import error_info
from pipeline.contract.lease import Lease
from pipeline.contract.result import Result, Status
from pipeline.contract.summary import Subject
from pipeline.notify.job_events import Origin, completed, ended
from pipeline.notify.job_result import job_result, not_run
from pipeline.runtime import RuntimeConfig
from pipeline.sheets.cells import StoredSheet
from pipeline.sheets.end_files import WriteEndFiles, end_folder
from pipeline.sheets.sheet_end import SheetEnd, spent_on


def sheet_result(
    sheet: StoredSheet,
    lease: Lease,
    about: Subject,
    body: bytes,
    error: RylaError | None,
    moment: Moment,
    before: Sequence[StoredEvent],
    write_files: WriteEndFiles,
    *,
    runtime: RuntimeConfig,
    now: datetime,
) -> Result:
    """It names every view that was made. With `min_views` of them it is a success, but for one that
    is cancelled: then `error` is None. `before` are the events that were told already.

    What `write_files` raises passes through.
    """
    lease = lease.model_copy(update={"spent": spent_on(sheet, lease)})
    origin, spent = Origin.of(runtime), lease.spent
    end = SheetEnd.of(sheet, Status.CANCELLED if error is None else error.code, spent.usd)
    cost = not_run(spent, body, runtime)
    succeeds = end.enough and error is not None
    if succeeds:
        told = completed(
            about,
            origin,
            attempt=lease.attempt,
            metrics=None,
            cost=cost,
            outputs=end.made_here,
            at=now,
            seconds=end.records.seconds,
        )
    else:
        info = None if error is None else error_info(error)
        told = ended(
            about,
            origin,
            moment,
            attempt=lease.attempt,
            at=now,
            error=info,
            cost_usd=spent.usd,
        )
    status = Status.CANCELLED if error is None else Status.FAILED
    return job_result(
        about,
        lease,
        body,
        Status.SUCCEEDED if succeeds else status,
        runtime=runtime,
        now=now,
        events=(*before, *end.events(about, origin, now), told),
        cost=cost,
        error=None if succeeds else error,
        provenance=end.provenance(runtime.settings.app_version),
        **end.fields,
        **write_files(end, end_folder(lease)).fields,
    )
