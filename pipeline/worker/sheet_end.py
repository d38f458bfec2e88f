"""What a worker does for a character sheet that it ends: reads all records once more, and stores
what is said of them beside the pictures."""

from dataclasses import dataclass

from pipeline.contract.keys import attempt_folder
from pipeline.contract.lease import Lease
from pipeline.sheets.cells import read_sheet
from pipeline.sheets.end_files import FileStore, write_end_files
from pipeline.sheets.sheet_end import SheetEnd, spent_on
from pipeline.store.base import Stored
from pipeline.store.conditional import SafeStore
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
    """Fills `state.sheet` and `state.end_files`. `why` is told of views that were not tried any
    more; the execution took `seconds` so far.

    Another execution may have kept more than this one has read, and one that failed at once has
    read nothing. Raises Superseded when the lease is lost meanwhile.
    """
    state.sheet = heart.insist(lambda: read_sheet(context.store, lease.id))
    if state.sheet is None:
        return
    usd = spent_on(state.sheet, lease).usd + seconds * lease.rate_usd_per_s
    end = SheetEnd.of(state.sheet, why, usd)
    folder = attempt_folder(lease.id, lease.attempt)
    state.end_files = write_end_files(_InsistentStore(context.store, heart), end, folder)


@dataclass(frozen=True)
class _InsistentStore(FileStore):
    """Waits for a store that is away as long as the lease is held."""

    store: SafeStore
    heart: Heartbeat

    def get(self, key: str, *, limit: int | None = None) -> Stored | None:
        return self.heart.insist(lambda: self.store.get(key, limit=limit))

    def write(self, key: str, body: bytes, content_type: str) -> None:
        self.heart.insist(lambda: self.store.write(key, body, content_type))
