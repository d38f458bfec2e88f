from datetime import UTC, datetime
from threading import Barrier, Thread

import pytest

from config.errors import BadManifest
from pipeline.contract.keys import check_id, manifest_key
from pipeline.jobs.submit import Sent
from pipeline.jobs.successors import find_successor, submit_successor
from pipeline.store.base import IfAbsent
from pipeline.store.conditional import SafeStore
from pipeline.store.memory import MemoryStore
from tests.support.manifests import manifest

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
ONE, OTHER = manifest(priority=5), manifest(priority=5, metadata={"other": True})


@pytest.fixture
def store() -> SafeStore:
    return SafeStore(MemoryStore(lambda: NOON))


def test_the_same_manifest_is_the_same_job_and_another_one_is_the_next(store: SafeStore) -> None:
    sent = [submit_successor(store, "ann", "r", each, 2) for each in (ONE, OTHER, ONE, OTHER)]
    assert [receipt.id for receipt in sent] == ["ann-r2", "ann-r3", "ann-r2", "ann-r3"]
    assert [receipt.sent for receipt in sent] == [Sent.SUBMITTED] * 2 + [Sent.ALREADY] * 2


def test_a_job_that_has_left_the_inbox_keeps_its_number(store: SafeStore) -> None:
    job, there = find_successor(store, "ann", "r", ONE, 2)
    assert (job.id, there) == ("ann-r2", False)
    store.raw.put(manifest_key("ann-r2"), job.body, IfAbsent())
    assert find_successor(store, "ann", "r", ONE, 2)[1]
    assert find_successor(store, "ann", "r", OTHER, 2)[0].id == "ann-r3"
    assert submit_successor(store, "ann", "r", OTHER, 2).id == "ann-r3"


def test_what_is_only_looked_for_is_not_sent(store: SafeStore) -> None:
    find_successor(store, "ann", "r", ONE)
    assert not store.list("").entries


def test_two_at_once_get_a_job_each(store: SafeStore) -> None:
    together, ids = Barrier(2), set()

    def send(document: dict[str, object]) -> None:
        together.wait()
        ids.add(submit_successor(store, "ann", "r", document).id)

    threads = [Thread(target=send, args=(each,)) for each in (ONE, OTHER)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ids == {"ann-r1", "ann-r2"}


def test_the_longest_id_has_successors_and_a_wrong_manifest_has_none(store: SafeStore) -> None:
    assert check_id(submit_successor(store, "a" * 96, "r", ONE).id)
    with pytest.raises(BadManifest):
        submit_successor(store, "ann", "r", manifest(priority=12))
