"""Cancels a job: commits its `cancelled` result, then sends its events.

Of a character sheet, what was made until then stays in the result, and what is said of it is stored
before.

The lease is replaced before anything is sent. That ends a worker's hold at its next renewal, and
leaves the events owed, so that a dispatcher replays them if this process goes no further. A
callback is always left to a dispatcher: whoever cancels waits for no stranger's server.
"""

from dataclasses import dataclass, field
from datetime import timedelta
from threading import Lock
from uuid import uuid4

from config.errors import AlreadyFinished, ManifestTooLarge, RylaError, UnknownJob
from events.moments import Moment
from events.sink import EventSink, NotDelivered
from pipeline.contract.keys import MAX_BYTES, InboxName, lease_key, parse_inbox_key
from pipeline.contract.lease import Lease, Phase
from pipeline.contract.result import Result, Status
from pipeline.contract.summary import subject
from pipeline.jobs.status import bare_key, find_entry, read_result
from pipeline.notify.delivery import pending_lease
from pipeline.notify.job_events import Origin, ended, requested
from pipeline.notify.job_result import job_result
from pipeline.notify.spend_note import note_spend
from pipeline.queue.cancel_steps import Cancellation, FindLease
from pipeline.queue.protocol import Committed
from pipeline.queue.runner import run
from pipeline.runtime import RuntimeConfig
from pipeline.sheets.cells import SHEET, read_sheet
from pipeline.sheets.end_files import EndFilesWriter
from pipeline.sheets.sheet_result import sheet_result
from pipeline.store.conditional import SafeStore, Won

TRIES = 5
"""Renewals that may come between reading the lease and replacing it."""


@dataclass(frozen=True)
class Cancelled:
    result: Result
    delivered: bool
    """False: a dispatcher will send the events, and the callback if there is one."""


@dataclass(frozen=True)
class Canceller:
    """The ports of a cancel, and who cancels."""

    store: SafeStore
    runtime: RuntimeConfig
    sink: EventSink
    owner: str
    turn: Lock = field(default_factory=Lock)
    """Of whoever draws a sheet in this process: one at a time."""

    @property
    def end_files(self) -> EndFilesWriter:
        return EndFilesWriter(self.store, self.turn)

    def cancel(self, id: str) -> Cancelled:
        """Raises UnknownJob, AlreadyFinished, or ManifestTooLarge for one about to be refused."""
        lease = self._held(id) or self._as_if_held(id)
        cancellation = Cancellation(id, lease.entry, lambda body: self._result(lease, body))
        end = run(FindLease(cancellation), self.store)
        if not isinstance(end, Committed):
            raise self._why_not(id, lease.entry)
        note_spend(self.store, end.result)
        settings = self.runtime.settings
        own_s = settings.posthog_timeout_seconds + settings.backoff_base_seconds
        calls_back = end.result.callback_url is not None
        self._mark_pending(lease, end.result, after_s=0.0 if calls_back else own_s)
        return Cancelled(end.result, not calls_back and self._deliver(end.result))

    def _held(self, id: str) -> Lease | None:
        stored = self.store.get(lease_key(id))
        return None if stored is None else Lease.parse(stored.body)

    def _as_if_held(self, id: str) -> Lease:
        """What the lease of a job that nobody has taken would say."""
        entry = find_entry(self.store, id)
        name = InboxName(0, None, None, id) if entry is None else parse_inbox_key(entry.key)
        nonce = uuid4().hex
        return Lease(
            id=id,
            entry=bare_key(id) if entry is None else entry.key,
            model=name.model,
            tenant=name.tenant,
            attempt=0,
            claim=nonce,
            nonce=nonce,
            owner=self.owner,
            phase=Phase.RETRY,
            ttl_s=self.runtime.settings.spawned_seconds,
            submitted_at=self.store.now() if entry is None else entry.last_modified,
        )

    def _result(self, lease: Lease, body: bytes) -> Result:
        now, nonce = self.store.now(), uuid4().hex
        about = subject(lease.id, lease.entry, lease.submitted_at, body)
        origin = Origin.of(self.runtime)
        taken = lease.taken_over(nonce, self.owner, lease.phase, lease.ttl_s, now)
        ending = taken.model_copy(update={"attempt": lease.attempt})  # nothing runs any more
        told = (*requested(about, origin), *lease.events)
        sheet = read_sheet(self.store, lease.id) if about.kind == SHEET and lease.attempt else None
        if sheet is not None:
            return sheet_result(
                sheet,
                ending,
                about,
                body,
                None,
                Moment.CANCELLED,
                told,
                self.end_files.write,
                runtime=self.runtime,
                now=now,
            )
        end = ended(
            about,
            origin,
            Moment.CANCELLED,
            attempt=lease.attempt,
            at=now,
            cost_usd=ending.spent.usd,
        )
        return job_result(
            about,
            ending,
            body,
            Status.CANCELLED,
            runtime=self.runtime,
            now=now,
            events=(*told, end),
        )

    def _mark_pending(self, known: Lease, result: Result, *, after_s: float) -> None:
        """Make the lease say what is owed, to be seen to then; who is faster sees the result."""
        key, pause = lease_key(known.id), timedelta(seconds=after_s)
        current = self.store.get(key)
        for _ in range(TRIES):
            lease = (Lease.parse(current.body) if current else None) or known
            due = self.store.now() + pause
            still_pending = pending_lease(lease, result, not_before=due).body()
            outcome = (
                self.store.replace(key, still_pending, current.etag)
                if current
                else self.store.create(key, still_pending)
            )
            if isinstance(outcome, Won):
                return
            current = outcome.current

    def _deliver(self, result: Result) -> bool:
        try:
            self.sink.deliver(result.events)
        except NotDelivered:
            return False
        self.store.delete(lease_key(result.id))
        return True

    def _why_not(self, id: str, entry: str) -> RylaError:
        done = read_result(self.store, id)
        if done is not None:
            status = done.result.status if done.result else "finished"
            return AlreadyFinished(
                f"the job {id} is {status} already",
                field="id",
                value=id,
                hint=f"`ryla results {id}` shows it.",
            )
        stored = self.store.get(entry, limit=1)
        if stored is not None and stored.size > MAX_BYTES:
            return ManifestTooLarge(
                f"the manifest of {id} has {stored.size} bytes: the dispatcher refuses it",
                field="id",
                value=id,
            )
        return UnknownJob(f"no job has the id {id}", field="id", value=id)
