from collections.abc import Sequence

import pytest

from pipeline.batches.batch_reader import BatchReader, missing_jobs, row_lines
from pipeline.batches.lines import redo_id, state_word
from pipeline.contract.keys import inbox_key, lease_key, manifest_key
from pipeline.contract.lease import Phase
from pipeline.contract.result import Status
from pipeline.store.base import Page, Stored
from pipeline.store.conditional import SafeStore
from pipeline.store.memory import MemoryStore
from tests.support.batches import a_batch, end_sheet
from tests.support.jobs import a_lease

BATCH = a_batch("Ann", "Bob", "Cleo", "Dan")
ANN, BOB, CLEO, DAN = (row.id for row in BATCH.rows)


class WatchedStore(MemoryStore):
    """Notes what is read."""

    def __init__(self) -> None:
        super().__init__()
        self.read: list[str] = []

    def get(self, key: str, *, offset: int = 0, limit: int | None = None) -> Stored | None:
        self.read.append(f"GET {key}")
        return super().get(key, offset=offset, limit=limit)

    def list(self, prefix: str, *, start_after: str = "", limit: int = 1000) -> Page:
        self.read.append(f"LIST {prefix}")
        return super().list(prefix, start_after=start_after, limit=limit)


@pytest.fixture
def raw() -> WatchedStore:
    return WatchedStore()


@pytest.fixture
def store(raw: WatchedStore) -> SafeStore:
    return SafeStore(raw)


def wait(store: SafeStore, id: str, priority: int = 5) -> None:
    key = inbox_key(id, priority=priority, tenant="acme", model="character-sheet")
    store.create(key, b"{}")


def run(store: SafeStore, id: str) -> None:
    lease = a_lease(
        id=id,
        phase=Phase.RUNNING,
        entry=inbox_key(id, priority=5, tenant="acme", model="character-sheet"),
    )
    store.create(lease_key(id), lease.body())


def words(store: SafeStore) -> Sequence[str]:
    return [state_word(line.standing) for line in row_lines(store, BATCH)]


def test_each_row_is_found_wherever_its_job_is(store: SafeStore) -> None:
    wait(store, ANN, priority=9)
    run(store, BOB)
    wait(store, BOB)  # its entry goes after the claim
    end_sheet(store, CLEO)

    assert words(store) == ["waiting", "running", "succeeded", "unknown"]
    assert missing_jobs(store, BATCH) == {DAN}


def test_a_job_whose_lease_somebody_deleted_is_not_missing(store: SafeStore) -> None:
    store.create(manifest_key(ANN), b"{}")

    assert ANN not in missing_jobs(store, BATCH)


def test_no_job_of_another_batch_is_read(store: SafeStore, raw: WatchedStore) -> None:
    run(store, "autumn-2-002-eve")
    run(store, "winter-002-eve")
    wait(store, "winter-003-fay")
    end_sheet(store, "winter-004-gus")
    for id in (ANN, BOB, CLEO, DAN):
        end_sheet(store, id)
    raw.read.clear()
    row_lines(store, BATCH)

    assert not [call for call in raw.read if "winter" in call or call == "LIST jobs/"]
    assert all("autumn-" in call for call in raw.read)
    assert sum(call.startswith("GET jobs/") for call in raw.read) == 8


def test_what_has_ended_is_read_once(store: SafeStore, raw: WatchedStore) -> None:
    for id in (ANN, BOB, CLEO):
        end_sheet(store, id)
    run(store, DAN)
    reader = BatchReader(store, BATCH)
    reader.look()
    assert not reader.done
    raw.read.clear()
    reader.look()

    assert [call for call in raw.read if call.startswith("GET")] == []
    store.delete(lease_key(DAN))
    end_sheet(store, DAN)
    reader.look()
    assert reader.done


def test_the_newest_redo_that_succeeded_stands(store: SafeStore) -> None:
    for id in (ANN, BOB, CLEO, DAN):
        end_sheet(store, id, status=Status.FAILED, outputs=())
    end_sheet(store, redo_id(ANN, 2))
    end_sheet(store, redo_id(ANN, 3))
    end_sheet(store, redo_id(ANN, 4), status=Status.CANCELLED)
    end_sheet(store, redo_id(BOB, 2), status=Status.FAILED)
    ann, bob, _, dan = row_lines(store, BATCH)

    assert ann.standing.id == redo_id(ANN, 3)
    assert ann.usd == pytest.approx(0.12)
    assert (bob.standing.id, dan.standing.id) == (BOB, DAN)


def test_a_redo_under_way_is_seen_at_the_next_look(store: SafeStore) -> None:
    for id in (ANN, BOB, CLEO, DAN):
        end_sheet(store, id)
    reader = BatchReader(store, BATCH)
    reader.look()
    assert reader.done
    wait(store, redo_id(BOB, 2))
    reader.look()

    under_way = reader.lines[1].under_way
    assert under_way is not None
    assert (under_way.id, under_way.state) == (redo_id(BOB, 2), "waiting")
    assert not reader.done
    end_sheet(store, redo_id(BOB, 2))
    store.delete(inbox_key(redo_id(BOB, 2), priority=5, tenant="acme", model="character-sheet"))
    reader.look()
    assert reader.lines[1].standing.id == redo_id(BOB, 2)
    assert reader.done


def test_a_redo_that_waits_at_the_first_look_is_seen(store: SafeStore) -> None:
    for id in (ANN, BOB, CLEO, DAN):
        end_sheet(store, id)
    wait(store, redo_id(BOB, 2))
    run(store, redo_id(CLEO, 2))

    assert [bool(line.under_way) for line in row_lines(store, BATCH)] == [False, True, True, False]
