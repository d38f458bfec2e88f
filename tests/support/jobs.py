"""Leases, results and listings for tests of the queue's decisions."""

from datetime import UTC, datetime, timedelta
from typing import Any

from pipeline.contract.keys import inbox_key, lease_key
from pipeline.contract.lease import Lease, Phase
from pipeline.contract.result import Result, Status
from pipeline.queue.expiry import ListedLease
from pipeline.store.base import Entry, Stored

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
BODY = b'{"version":1,"model":"flux-dev","tenant":"acme","input":{"prompt":"a fox"}}'
ENTRY = inbox_key("job", priority=5, tenant="acme", model="flux-dev")


def a_lease(**fields: Any) -> Lease:
    """A claim of the job `job`."""
    return Lease(
        **{
            "id": "job",
            "entry": ENTRY,
            "model": "flux-dev",
            "tenant": "acme",
            "attempt": 1,
            "claim": "claim-1",
            "nonce": "claim-1",
            "owner": "tests",
            "phase": Phase.CLAIMED,
            "ttl_s": 900.0,
            "submitted_at": NOW,
            **fields,
        }
    )


def a_result(**fields: Any) -> Result:
    return Result(
        **{
            "id": "job",
            "status": Status.SUCCEEDED,
            "model": "flux-dev",
            "tenant": "acme",
            "attempt": 1,
            "nonce": "worker-1",
            "manifest_sha256": "",
            "finished_at": NOW,
            **fields,
        }
    )


def stored(body: bytes, etag: str = "etag", size: int | None = None) -> Stored:
    return Stored(body, len(body) if size is None else size, etag, NOW, NOW)


def entry(key: str, age_s: float = 0.0, etag: str = "etag") -> Entry:
    """A listed object, `age_s` seconds old at NOW."""
    return Entry(key, etag, 100, NOW - timedelta(seconds=age_s))


def held(lease: Lease | None, age_s: float, *, unreadable: bool = False) -> ListedLease:
    """A lease as listed at NOW."""
    return ListedLease("job", entry(lease_key("job"), age_s), lease, unreadable)
