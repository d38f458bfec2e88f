"""Reads a bucket for its audit, as a stream: of a job that was judged, nothing is kept but counts.

The bucket may be in use. Jobs go from inbox/ to leases/ to their result, and so does the look at
them; one that is found nowhere is looked for once more, in that order, before it is called lost.

What is held over the whole bucket: the ids in inbox/ and leases/, some 120 bytes each, and a hash
of the uuid of each event, some 70.
"""

import hashlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial

from pipeline.contract.keys import (
    EXPORTS,
    INBOX,
    JOBS,
    OUTBOX,
    REVIEWS,
    lease_id,
    lease_key,
    manifest_key,
    rejected_of,
    result_key,
)
from pipeline.contract.lease import Lease
from pipeline.contract.result import Output, Result, ResultFile, Status
from pipeline.jobs.audit.faults import (
    entry_left,
    entry_stuck,
    event_of_nothing,
    left_of_forgotten,
    no_lease,
    shared_uuid,
)
from pipeline.jobs.audit.job_folders import folders
from pipeline.jobs.audit.part import Part
from pipeline.jobs.audit.rules import (
    GRACE_S,
    Ended,
    HeldLease,
    JobFolder,
    Verdict,
    judge_ended,
    judge_held,
    judge_missing,
    judge_waste,
    named_files,
)
from pipeline.jobs.audit.tally import Tally
from pipeline.jobs.status import inbox_id
from pipeline.queue.expiry import Lifetimes, ListedLease
from pipeline.store.base import Entry
from pipeline.store.conditional import SafeStore, listed

READERS = 16
"""Threads that read jobs side by side."""
AHEAD = 4
"""Jobs asked for in advance, for each reader."""
PART_BYTES = 8 * 1024 * 1024
"""Of an output whose content is read, at a time."""
MAX_LEASE_BYTES = 256 * 1024
"""No more is read: a stranger's object may be of any size."""


Progress = Callable[["Audit"], None]


@dataclass
class Audit:
    """One look at a bucket. `run` it once; the counts grow meanwhile."""

    store: SafeStore
    lifetimes: Lifetimes
    """Of the deployment that uses the bucket."""
    part: Part = field(default_factory=Part)
    content: bool = False
    """Whether outputs are read, to hold their sha256 against the result's."""
    readers: int = READERS
    tally: Tally = field(default_factory=Tally)
    objects: int = 0
    """Seen by LIST."""
    jobs: int = 0
    """Folders with a manifest or a result."""
    passed_over: int = 0
    """Results that were written before `part.since`."""
    owed: int = 0
    """Events of entries under rejected/ that wait in outbox/. They are of no job, so of no part."""
    _waiting: set[str] = field(default_factory=set)
    """Ids in the inbox that nobody has."""
    _leases: dict[str, bool] = field(default_factory=dict)
    """By id, those whose jobs are still to come: whether there is an entry too."""
    _ended: set[str] = field(default_factory=set)
    """Ids that waited, and whose jobs have ended."""
    _unclear: set[str] = field(default_factory=set)
    """Ids that were found nowhere but in jobs/."""
    _forgotten: set[str] = field(default_factory=set)
    """Ids of jobs that are."""
    _uuids: set[int] = field(default_factory=set)
    """Of events, hashed to 64 bits: of a million, two are equal by chance in one bucket of 30
    million."""

    @property
    def waiting(self) -> int:
        """Jobs in the inbox that nobody has."""
        return len(self._waiting)

    def run(self, progress: Progress = lambda _: None) -> Tally:
        """`progress` is called after each job."""
        for entry in self._counted(INBOX):
            self._see_entry(entry)
        for prefix in self.part.lease_prefixes():
            for entry in self._counted(prefix):
                self._see_lease(entry)
        if self.part.whole:
            for entry in self._counted(OUTBOX):
                self._see_owed(entry)
        with ThreadPoolExecutor(self.readers, "audit") as pool:
            self._judge(pool, self._jobs(), progress)
            rest = (partial(self._lease_alone, id, entry=it) for id, it in self._leases.items())
            self._judge(pool, rest, progress)
            self._look_again()
            again = (partial(self._again, id) for id in sorted(self._unclear))
            self._judge(pool, again, progress)
        self._look_beside()
        return self.tally

    def _counted(self, prefix: str) -> Iterator[Entry]:
        for entry in listed(self.store, prefix):
            self.objects += 1
            yield entry

    def _see_entry(self, entry: Entry) -> None:
        id = inbox_id(entry.key)
        if id is not None and self.part.has(id):
            self._waiting.add(id)
        elif self.part.whole and self._is_left(entry):  # which has every id
            self.tally.blame(entry_stuck(entry))

    def _see_lease(self, entry: Entry) -> None:
        id = lease_id(entry.key)
        if id is not None:
            self._leases[id] = id in self._waiting
            self._waiting.discard(id)
        elif self.part.whole:
            self.tally.blame(no_lease(entry.key))

    def _see_owed(self, entry: Entry) -> None:
        """Its entry was filed before it, and nothing of the pipeline's removes that."""
        self.owed += 1
        rejected = rejected_of(entry.key)
        if all(each.key != rejected for each in self.store.list(rejected, limit=1).entries):
            self.tally.blame(event_of_nothing(entry.key, rejected))

    def _judge(
        self,
        pool: ThreadPoolExecutor,
        judges: Iterable[Callable[[], Verdict]],
        progress: Progress,
    ) -> None:
        """Jobs are read side by side, some ahead, and their verdicts taken in order."""
        asked: deque[Future[Verdict]] = deque()
        for judge in judges:
            asked.append(pool.submit(judge))
            if len(asked) >= self.readers * AHEAD:
                self._take(asked.popleft().result(), progress)
        while asked:
            self._take(asked.popleft().result(), progress)

    def _take(self, verdict: Verdict, progress: Progress) -> None:
        self.tally.add(verdict)
        if verdict.unclear:
            self._unclear.add(verdict.id)
        if verdict.status is not None and verdict.id in self._waiting:
            self._waiting.remove(verdict.id)
            self._ended.add(verdict.id)
        if verdict.status == Status.FORGOTTEN:
            self._forgotten.add(verdict.id)
        for uuid in verdict.uuids:
            hashed = hash(uuid)
            if hashed in self._uuids:
                self.tally.blame(shared_uuid(uuid, verdict.id))
            self._uuids.add(hashed)
        progress(self)

    def _jobs(self) -> Iterator[Callable[[], Verdict]]:
        for prefix in self.part.job_prefixes():
            for folder in folders(self._counted(prefix)):
                held = self._leases.pop(folder.id, None) is not None
                self.jobs += folder.has_manifest or folder.has_result
                if held or folder.id in self._waiting or not self._too_old(folder):
                    waits = folder.id in self._waiting
                    yield partial(self._job, folder, held=held, waits=waits)
                else:
                    self.passed_over += 1

    def _too_old(self, folder: JobFolder) -> bool:
        since = self.part.since
        return folder.has_result and since is not None and folder.newest < since

    def _job(self, folder: JobFolder, *, held: bool, waits: bool) -> Verdict:
        lease = self._read_lease(folder.id) if held else None
        if folder.has_result:
            return self._judge_ended(folder, lease)
        if lease is not None:
            return judge_held(lease, self.lifetimes, job=folder.has_manifest)
        if not folder.has_manifest:
            return judge_waste(folder)
        return Verdict(folder.id, unclear=not waits)

    def _lease_alone(self, id: str, *, entry: bool) -> Verdict:
        """Of a job that had no folder when jobs/ was listed."""
        lease = self._read_lease(id)
        if lease is None:
            return Verdict(id)
        folder = self._folder(id)
        if folder.has_result:
            return self._judge_ended(folder, lease)
        return judge_held(lease, self.lifetimes, job=entry or folder.has_manifest)

    def _look_again(self) -> None:
        """At the inbox, for entries whose jobs have ended, and for jobs that were found nowhere."""
        if not self._ended and not self._unclear:
            return
        left, oldest = list[Entry](), self.store.now()
        for entry in listed(self.store, INBOX):
            id = inbox_id(entry.key)
            if id in self._ended:
                left.append(entry)
            elif id is not None:
                self._unclear.discard(id)
                oldest = min(oldest, entry.last_modified)
        for entry in left:
            # One that came later than a job that still waits may wait for its turn.
            if entry.last_modified < oldest and self._is_left(entry):
                self.tally.blame(entry_left(entry))

    def _look_beside(self) -> None:
        """For a review or a dataset of a forgotten job, which somebody wrote late."""
        for prefix in (REVIEWS, EXPORTS) if self._forgotten else ():
            for entry in self._counted(prefix):
                id = entry.key.removeprefix(prefix).partition("/")[0].removesuffix(".json")
                if id in self._forgotten:
                    self.tally.blame(left_of_forgotten(id, entry.key))

    def _is_left(self, entry: Entry) -> bool:
        """Whether it stands for longer than a job may wait for a worker."""
        longest = self.lifetimes.unreadable_s + self.lifetimes.margin_s + GRACE_S
        return (self.store.now() - entry.last_modified).total_seconds() > longest

    def _again(self, id: str) -> Verdict:
        """Lease first, then result: a lease goes only when a result stands."""
        lease, folder = self._read_lease(id), self._folder(id)
        if folder.has_result:
            return self._judge_ended(folder, lease)
        if lease is not None:
            return judge_held(lease, self.lifetimes, job=True)
        return judge_missing(folder, self.store.now())

    def _judge_ended(self, folder: JobFolder, lease: HeldLease | None) -> Verdict:
        id = folder.id
        stored, manifest = self.store.get(result_key(id)), self.store.get(manifest_key(id))
        result = None if stored is None else Result.parse(stored.body)
        if result is None or result.id != id:
            result = None
        outputs = [] if result is None else named_files(result)
        folder = replace(folder, sizes={**folder.sizes, **self._sizes(outputs, folder)})
        body = None if manifest is None else manifest.body
        digests = self._digests(outputs, folder) if self.content else {}
        return judge_ended(Ended(folder, result, body, lease, digests), self.lifetimes)

    def _sizes(self, outputs: Iterable[Output | ResultFile], folder: JobFolder) -> dict[str, int]:
        """Of outputs that were not listed: they may have been written between two pages."""
        missing = [output.key for output in outputs if output.key not in folder.sizes]
        found = (entry for key in missing for entry in self.store.list(key, limit=1).entries)
        return {entry.key: entry.size for entry in found}

    def _digests(self, outputs: Iterable[Output | ResultFile], folder: JobFolder) -> dict[str, str]:
        keys = (output.key for output in outputs)
        return {key: self._digest(key, folder.sizes[key]) for key in keys if key in folder.sizes}

    def _digest(self, key: str, size: int) -> str:
        digest = hashlib.sha256()
        for offset in range(0, size, PART_BYTES):
            stored = self.store.get(key, offset=offset, limit=PART_BYTES)
            digest.update(b"" if stored is None else stored.body)
        return digest.hexdigest()

    def _read_lease(self, id: str) -> HeldLease | None:
        stored = self.store.get(lease_key(id), limit=MAX_LEASE_BYTES)
        if stored is None:
            return None
        lease = Lease.parse(stored.body)
        if lease is not None and lease.id != id:
            lease = None
        entry = Entry(lease_key(id), stored.etag, stored.size, stored.last_modified)
        return HeldLease(ListedLease(id, entry, lease, unreadable=lease is None), stored.date)

    def _folder(self, id: str) -> JobFolder:
        found = list(folders(listed(self.store, f"{JOBS}{id}/")))
        return found[0] if found else JobFolder(id, {}, self.store.now())
