from datetime import UTC, datetime, timedelta

from pipeline.contract.keys import lease_key
from pipeline.contract.lease import Lease, Phase
from pipeline.local.reclaiming import reclaim
from pipeline.store.base import Always
from pipeline.store.conditional import SafeStore
from pipeline.store.memory import MemoryStore

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


def a_lease(id: str, phase: Phase, attempt: int = 1) -> Lease:
    return Lease(
        id=id,
        entry=f"inbox/{id}.json",
        model="flux-dev",
        tenant="acme",
        attempt=attempt,
        claim="c",
        nonce="c",
        owner="the last stack",
        phase=phase,
        ttl_s=900,
        submitted_at=NOW,
    )


def store_with(*leases: Lease) -> SafeStore:
    store = SafeStore(MemoryStore(lambda: NOW))
    for lease in leases:
        store.raw.put(lease_key(lease.id), lease.body(), Always())
    return store


def lease_of(store: SafeStore, id: str) -> Lease:
    stored = store.get(lease_key(id))
    lease = Lease.parse(stored.body) if stored else None
    assert lease is not None
    return lease


def test_a_job_that_no_worker_began_is_due_at_once_and_keeps_its_attempts() -> None:
    store = store_with(a_lease("new", Phase.CLAIMED), a_lease("again", Phase.SPAWNED, attempt=3))

    assert reclaim(store) == 2

    for id, attempt in (("new", 0), ("again", 2)):
        lease = lease_of(store, id)
        assert lease.phase is Phase.RETRY
        assert lease.attempt == attempt
        assert lease.not_before is not None
        assert abs(lease.not_before - NOW) < timedelta(seconds=1)


def test_a_claim_whose_entry_still_stands_is_left_to_lapse() -> None:
    store = store_with(a_lease("unspawned", Phase.CLAIMED))
    store.create("inbox/4.acme.flux-dev.unspawned.json", b"{}")

    assert reclaim(store) == 0
    assert lease_of(store, "unspawned").phase is Phase.CLAIMED


def test_running_and_waiting_jobs_are_left_alone() -> None:
    store = store_with(a_lease("runs", Phase.RUNNING), a_lease("waits", Phase.RETRY))
    store.raw.put(lease_key("odd"), b"no lease", Always())

    assert reclaim(store) == 0
    assert lease_of(store, "runs").phase is Phase.RUNNING
