"""Has jobs forgotten, in an order that a kill at any point leaves resumable.

    scan ─ cancel ─ tombstone begun ─ wait ─ delete ─┐     of each job that was found
      └──────────────── again, until none is new ────┘
    pictures sent ─ list and delete again ─ tombstone ended ─ manifest's tombstone ─ LoRAs

The begun tombstone is the fence. From it on nobody reads the job's result, a redo of it is refused,
and no execution can commit. Whoever read the result before has its own manifest in the bucket by
then, so that the next scan finds it. It also keeps the keys outside the job's folder that go with
it. The manifests go last, those of redos before those that they were made of: by them another run
finds the jobs again.
"""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from threading import Lock
from uuid import uuid4

from config.errors import AlreadyFinished, StoreUnavailable, UnknownJob
from config.settings import Settings
from pipeline.contract.keys import LEASES, THUMBS, lease_key, manifest_key, result_key
from pipeline.contract.lease import Lease
from pipeline.contract.result import Result
from pipeline.contract.tombstone import MANIFEST, begun_tombstone, ended_tombstone, tombstone_body
from pipeline.erasure.finder import Finder, Plan, side_by_side
from pipeline.erasure.inventory import (
    Group,
    Holding,
    Kept,
    beside_objects,
    entries_of,
    own_objects,
    told_elsewhere,
)
from pipeline.erasure.scan import Scan
from pipeline.erasure.scope import ChosenJob, Wish
from pipeline.jobs.cancel import Canceller
from pipeline.notify.spend_note import note_spend
from pipeline.store.conditional import SafeStore, Won

LIVES = 2
"""Of a running lease, that must pass after the last moment at which a job may have run."""
TRIES = 5
"""At a tombstone that others write at the same moment."""
DELETERS = 16
"""Objects deleted side by side."""
WAIT_S = 5.0
"""Between two looks at the store's clock."""


@dataclass(frozen=True)
class Erased:
    """What was done."""

    jobs: Sequence[ChosenJob]
    deleted: int
    """Objects."""
    bytes: int
    kept: Sequence[Kept]
    loras: Sequence[Holding]
    """That were left."""


class Progress:
    """What is told meanwhile; this one tells nothing."""

    def waits(self, seconds: float) -> None:
        """Until nothing of the jobs can run."""

    def began(self, jobs: Sequence[ChosenJob]) -> None:
        """They were cancelled, where they had not ended, and are being deleted."""


@dataclass
class _Deletion:
    """Counts what goes."""

    store: SafeStore
    pool: ThreadPoolExecutor
    deleted: int = 0
    bytes: int = 0
    turn: Lock = field(default_factory=Lock)
    """Of whoever counts."""

    def of(self, holdings: Iterable[Holding]) -> None:
        going = [each for each in holdings if each.group is not Group.MANIFESTS]
        list(self.pool.map(self._one, going))
        with self.turn:
            self.deleted += len(going)
            self.bytes += sum(each.bytes for each in going)

    def _one(self, holding: Holding) -> None:
        if holding.group is Group.WAITING:  # what was put there since is another message
            self.store.delete_matching(holding.key, holding.etag)
        else:
            self.store.delete(holding.key)


@dataclass(frozen=True)
class Eraser:
    """The ports of an erasure."""

    store: SafeStore
    settings: Settings
    canceller: Canceller
    sleep: Callable[[float], None]
    progress: Progress = field(default_factory=Progress)
    turn: Lock = field(default_factory=Lock)
    """Of whoever cancels: an event sink need not be safe for several."""

    @property
    def finder(self) -> Finder:
        return Finder(self.store, self.settings.lora_prefix)

    def plan(self, wish: Wish) -> Plan:
        """What would go. Raises UnknownJob for a job of which nothing stands."""
        return self.finder.plan(wish)

    def erase(self, wish: Wish, *, loras: bool = False) -> Erased:
        """Until nothing is left. Raises UnknownJob, ManifestTooLarge of a job that a dispatcher is
        about to refuse, StoreUnavailable and StoreDenied: run it again then, and it goes on."""
        erased = self._erase(wish, loras=loras)
        part = erased
        while wish.ended_before is not None and part.jobs:  # by parts, however many are old
            part = self._erase(wish, loras=False)
            erased = Erased(
                [*erased.jobs, *part.jobs],
                erased.deleted + part.deleted,
                erased.bytes + part.bytes,
                [*erased.kept, *part.kept],
                (),
            )
        return erased

    def _erase(self, wish: Wish, *, loras: bool) -> Erased:
        done: dict[str, ChosenJob] = {}
        beside = set[str]()
        with ThreadPoolExecutor(DELETERS, "erasure") as pool:
            deletion = _Deletion(self.store, pool)
            while True:
                scan = self.finder.scan(wish)
                new = [job for job in self.finder.chosen(scan, wish) if job.id not in done]
                if not new:
                    break
                beside |= self._erase_jobs(new, scan, deletion)
                done |= {job.id: job for job in new}
            found = self.finder.loras(scan, done, wish)
            wanted = self.finder.wanted([*done], scan, wish)
            going, kept = beside_objects(self.store, wanted, beside)
            kept += told_elsewhere(self.store, wanted)
            deletion.of(going)
            deletion.of(entries_of(self.store, wanted))
            last = [*reversed([*done])]
            if wish.ended_before is None:
                for id in last:
                    self._end(id, deletion)
            else:  # found again without their manifests, so in any order
                side_by_side(lambda id: self._end(id, deletion), last)
            deletion.of(found if loras else ())
        left = () if loras else found
        return Erased([*done.values()], deletion.deleted, deletion.bytes, kept, left)

    def _erase_jobs(self, jobs: Sequence[ChosenJob], scan: Scan, deletion: _Deletion) -> set[str]:
        """All but their tombstones and manifests. The keys beside them that are to go too."""
        ids = [job.id for job in jobs]
        tombstones = side_by_side(lambda id: self._begin(id, scan), ids)
        beside = side_by_side(lambda each: self._beside(each, scan), tombstones)
        self.progress.began(jobs)
        self._wait(max(side_by_side(self._stop, tombstones)))
        side_by_side(lambda id: deletion.of(own_objects(self.store, id)), ids)
        return set[str]().union(*beside)

    def _begin(self, id: str, scan: Scan) -> Result:
        """Cancel it, if it has not ended, and put the begun tombstone in its result's place."""
        if self.store.get(result_key(id), limit=1) is None:
            self._cancel(id)
        for _ in range(TRIES):
            stored = self.store.get(result_key(id))
            result = None if stored is None else Result.parse(stored.body)
            if result is not None and result.erasure is not None:
                return result
            if result is not None:  # its lease goes too, so nobody would do it later
                note_spend(self.store, result)
            trace, now = scan.traces.get(id), self.store.now()
            tombstone = begun_tombstone(
                id,
                result,
                tenant=trace.tenant if trace else None,
                nonce=uuid4().hex,
                now=now,
                quiet_at=self._quiet_at(now if stored is None else stored.last_modified),
                left=self.finder.beside(id, scan, result),
            )
            key, body = result_key(id), tombstone_body(tombstone)
            outcome = (
                self.store.create(key, body)
                if stored is None
                else self.store.replace(key, body, stored.etag)
            )
            if isinstance(outcome, Won):
                return tombstone
        raise StoreUnavailable(f"{result_key(id)} was changed by others {TRIES} times in a row")

    def _beside(self, tombstone: Result, scan: Scan) -> set[str]:
        """The keys outside its folder that go with it. Whoever may write in the bucket may have
        written a tombstone that has ended and names none, beside a manifest that does."""
        erasure = tombstone.erasure
        if erasure is None or erasure.ended_at is None or tombstone.id not in scan.traces:
            return set() if erasure is None else {*erasure.left}
        return self.finder.beside(tombstone.id, scan, tombstone)

    def _cancel(self, id: str) -> None:
        # It may have ended meanwhile, or have nothing that could run: loose objects alone.
        with self.turn, suppress(AlreadyFinished, UnknownJob):
            self.canceller.cancel(id)

    def _quiet_at(self, ended_at: datetime) -> datetime:
        """When nothing of the job can run any more, whoever lost it and has not heard so yet."""
        life = self.settings.running_seconds + self.settings.expiry_margin_seconds
        return ended_at + LIVES * timedelta(seconds=life)

    def _stop(self, tombstone: Result) -> datetime:
        """Take the lease from whoever has it, who hears so at the next renewal. From when on
        nothing of the job can run."""
        assert tombstone.erasure is not None
        stored = self.store.get(lease_key(tombstone.id))
        lease = None if stored is None else Lease.parse(stored.body)
        self.store.delete(lease_key(tombstone.id))
        if stored is None or (lease is not None and lease.committed):
            # No tombstone of ours waits for longer from now on; a stranger's might, and for ever.
            return min(tombstone.erasure.quiet_at, self._quiet_at(self.store.now()))
        return self._quiet_at(self.store.now())

    def _wait(self, until: datetime) -> None:
        while True:
            self.store.list(LEASES, limit=1)  # for the store's clock
            seconds = (until - self.store.now()).total_seconds()
            if seconds <= 0:
                return
            self.progress.waits(seconds)
            self.sleep(min(WAIT_S, seconds))

    def _end(self, id: str, deletion: _Deletion) -> None:
        """List once more, for what was written late; then say so, and let the manifest go."""
        deletion.of(own_objects(self.store, id))
        stored = self.store.get(result_key(id))
        begun = None if stored is None else Result.parse(stored.body)
        if stored is None or begun is None or begun.erasure is None:
            raise StoreUnavailable(
                f"{result_key(id)} was written by somebody else",
                hint="Nothing of the pipeline's does that. Run `ryla forget` again.",
            )
        if begun.erasure.ended_at is None:
            deletion.of(
                Holding(Group.THUMBNAILS, key, 0)
                for key in begun.erasure.left
                if key.startswith(THUMBS)
            )
            body = tombstone_body(ended_tombstone(begun, self.store.now()))
            # Lost to nobody but another run of the same erasure, whose tombstone says the same.
            self.store.replace(result_key(id), body, stored.etag)
        self._forget_manifest(id)

    def _forget_manifest(self, id: str) -> None:
        key = manifest_key(id)
        for _ in range(TRIES):
            stored = self.store.get(key)
            if stored is not None and stored.body == MANIFEST:
                return
            if stored is None:
                self.store.create(key, MANIFEST)
            else:
                self.store.replace(key, MANIFEST, stored.etag)
        raise StoreUnavailable(f"{key} was changed by others {TRIES} times in a row")
