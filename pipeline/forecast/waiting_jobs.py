"""The jobs of a bucket that have not ended, for a forecast."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from config.errors import BadManifest
from pipeline.contract.keys import INBOX, LEASES, MAX_BYTES, lease_id, lease_key, manifest_key
from pipeline.contract.lease import Lease
from pipeline.contract.manifest import parse_manifest
from pipeline.forecast.expected_job import ExpectedJob, expected_job
from pipeline.runtime import RuntimeConfig
from pipeline.store.base import Entry
from pipeline.store.conditional import SafeStore, listed

READERS = 16


@dataclass(frozen=True)
class WaitingJobs:
    jobs: list[ExpectedJob]
    """In the inbox, and with a lease: those count as if they began anew."""
    begun: int
    """Of them, those with a lease."""
    unreadable: int
    """Entries that will be refused, or went meanwhile."""


def waiting_jobs(store: SafeStore, runtime: RuntimeConfig) -> WaitingJobs:
    """A LIST of inbox/ and leases/, and a GET or two for each job. Raises a StoreError."""
    held = {id: entry for entry in listed(store, LEASES) if (id := lease_id(entry.key))}
    with ThreadPoolExecutor(READERS) as pool:
        begun = [each for each in pool.map(lambda id: _begun(store, runtime, id), held) if each]
        waiting = list(listed(store, INBOX))
        read = list(pool.map(lambda entry: _waiting(store, runtime, entry), waiting))
    ids = {job.id for job in begun}
    fresh = [job for job in read if job is not None and job.id not in ids]
    unreadable = sum(job is None for job in read)
    return WaitingJobs([*begun, *fresh], len(begun), unreadable)


def _begun(store: SafeStore, runtime: RuntimeConfig, id: str) -> ExpectedJob | None:
    """None for one that has ended, or whose manifest still lies in the inbox."""
    stored = store.get(lease_key(id))
    lease = None if stored is None else Lease.parse(stored.body)
    if lease is None or lease.committed or lease.vacant:
        return None
    entry = Entry(lease.entry, "", 0, lease.waits_since)
    return _job(store, runtime, entry, manifest_key(id))


def _waiting(store: SafeStore, runtime: RuntimeConfig, entry: Entry) -> ExpectedJob | None:
    return _job(store, runtime, entry, entry.key)


def _job(store: SafeStore, runtime: RuntimeConfig, entry: Entry, key: str) -> ExpectedJob | None:
    stored = store.get(key, limit=MAX_BYTES + 1)
    if stored is None:
        return None
    try:
        manifest = parse_manifest(stored.body)
        job = expected_job(entry, stored.body, manifest, runtime)
    except BadManifest:
        return None
    return None if runtime.route_of(manifest.model) is None else job
