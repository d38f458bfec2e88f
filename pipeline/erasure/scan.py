"""Reads what the manifests of all jobs say: there is no index of who is seen.

It lists jobs/ and inbox/, a request for every 1,000 objects, and reads each manifest, a GET for
each job. What is kept in memory is of jobs with pictures, with a person's LoRA or with a name, some
half a kilobyte each.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime

from pipeline.contract.keys import INBOX, JOBS, MAX_BYTES, is_id, manifest_key, result_key
from pipeline.contract.result import Result
from pipeline.contract.tombstone import is_tombstone_size, may_be_tombstone
from pipeline.erasure.trace import JobTrace, trace_of
from pipeline.jobs.status import inbox_id
from pipeline.store.conditional import SafeStore, listed

READERS = 16
"""Manifests read side by side."""
AHEAD = 1000
"""Asked for in advance."""
_MANIFEST = "/manifest.json"
_RESULT = "/result.json"


@dataclass(frozen=True)
class Scan:
    traces: dict[str, JobTrace]
    """By id, of those that say anything of a person, and that are not forgotten."""
    old: frozenset[str]
    """Ids of jobs that ended before the time that was asked for, and are not forgotten; and of
    those of which that was begun."""
    objects: int
    """Seen by LIST."""
    manifests: int
    """Read."""


def scan_jobs(store: SafeStore, before: datetime | None = None) -> Scan:
    """Everything under jobs/ and inbox/. `old` are those that ended before `before`."""
    to_read, old, gone, objects = dict[str, str](), set[str](), set[str](), 0
    young = list[str]()
    for entry in listed(store, INBOX):
        objects += 1
        id = inbox_id(entry.key)
        if id is not None:
            to_read.setdefault(id, entry.key)
    for entry in listed(store, JOBS):
        objects += 1
        id, _, name = entry.key.removeprefix(JOBS).partition("/")
        if not is_id(id):
            continue
        if f"/{name}" == _MANIFEST:
            to_read[id] = entry.key  # it is what counts, whatever waits under its id
            if is_tombstone_size(entry.size):
                gone.add(id)
        elif f"/{name}" == _RESULT and before is not None:
            if entry.last_modified < before:
                old.add(id)
            elif may_be_tombstone(entry.size):
                young.append(id)
    old |= {id for id in young if id not in gone and _is_begun(store, id)}
    to_read = {id: key for id, key in to_read.items() if id not in gone}
    traces = {trace.id: trace for trace in _traces(store, to_read) if trace.bears}
    return Scan(traces, frozenset(old - gone), objects, len(to_read))


def _is_begun(store: SafeStore, id: str) -> bool:
    stored = store.get(result_key(id))
    result = None if stored is None else Result.parse(stored.body)
    return result is not None and result.erasure is not None


def _traces(store: SafeStore, keys: dict[str, str]) -> Iterator[JobTrace]:
    def read(id: str) -> JobTrace | None:
        stored = store.get(keys[id], limit=MAX_BYTES)
        if stored is None:  # an entry that was adopted meanwhile
            stored = store.get(manifest_key(id), limit=MAX_BYTES)
        return None if stored is None else trace_of(id, stored.body)

    ids = [*keys]
    with ThreadPoolExecutor(READERS, "scan") as pool:
        for first in range(0, len(ids), AHEAD):
            yield from filter(None, pool.map(read, ids[first : first + AHEAD]))
