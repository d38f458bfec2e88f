import os
import subprocess
from datetime import UTC, datetime, timedelta

import pytest

from pipeline.contract.keys import lease_key
from pipeline.contract.lease import Lease, Phase
from pipeline.dispatcher.reclaim import Owner, is_running, reclaim
from pipeline.store.base import Always
from pipeline.store.conditional import SafeStore
from pipeline.store.memory import MemoryStore
from tests.support.jobs import a_lease

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


def left_lease(id: str, phase: Phase, attempt: int = 1) -> Lease:
    return a_lease(id=id, entry=f"inbox/{id}.json", attempt=attempt, phase=phase, submitted_at=NOW)


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


def test_a_job_that_no_worker_began_is_due_at_once_and_has_not_failed() -> None:
    store = store_with(
        left_lease("new", Phase.CLAIMED), left_lease("again", Phase.SPAWNED, attempt=3)
    )

    assert reclaim(store, lambda _: True) == 2

    for id, attempt in (("new", 1), ("again", 3)):
        lease = lease_of(store, id)
        assert lease.phase is Phase.RETRY
        assert (lease.attempt, lease.failures) == (attempt, 0)
        assert lease.not_before is not None
        assert abs(lease.not_before - NOW) < timedelta(seconds=1)


def test_a_claim_whose_entry_still_stands_is_left_to_lapse() -> None:
    store = store_with(left_lease("unspawned", Phase.CLAIMED))
    store.create("inbox/4.acme.flux-dev.unspawned.json", b"{}")

    assert reclaim(store, lambda _: True) == 0
    assert lease_of(store, "unspawned").phase is Phase.CLAIMED


def test_running_and_waiting_jobs_are_left_alone() -> None:
    store = store_with(left_lease("runs", Phase.RUNNING), left_lease("waits", Phase.RETRY))
    store.raw.put(lease_key("odd"), b"no lease", Always())

    assert reclaim(store, lambda _: True) == 0
    assert lease_of(store, "runs").phase is Phase.RUNNING


def test_what_is_another_dispatchers_is_left_alone() -> None:
    store = store_with(left_lease("mine", Phase.SPAWNED), left_lease("other", Phase.SPAWNED))
    store.create("inbox/UPPER CASE", b"a stranger's")

    assert reclaim(store, lambda lease: lease.id == "mine") == 1
    assert lease_of(store, "other").phase is Phase.SPAWNED


US = Owner("cli", "host", 7)


@pytest.mark.parametrize(
    ("owner", "platform", "inherited"),
    [
        ("cli@host:7", None, True),
        ("cli@host:8", "local", True),
        ("cli@host:9", None, False),
        ("cli@host:8", "modal", False),
        ("cli@another:8", None, False),
        ("local@host:8", None, False),
        ("cli@host:x", None, False),
        ("somebody", None, False),
    ],
)
def test_a_dispatcher_inherits_from_those_of_its_machine_that_are_no_more(
    owner: str, platform: str | None, inherited: bool
) -> None:
    lease = a_lease(id="job", owner=owner, platform=platform)
    assert str(US) == "cli@host:7"
    assert US.inherits(lease, "local", lambda pid: pid == 9) is inherited
    assert not US.inherits(a_lease(id="job", owner=owner), "modal", lambda _: False)


def test_a_process_that_has_ended_does_not_run() -> None:
    with subprocess.Popen(["true"]) as ended:
        ended.wait()
    assert not is_running(ended.pid)
    assert is_running(os.getpid())
    assert is_running(1)
    assert is_running(10**30), "no number of a process, so nothing is known of it"
