from pipeline.contract.keys import manifest_key
from pipeline.contract.spend_entry import EVER, SPEND, SpendEntry
from pipeline.notify.spend_note import note_new_bucket, note_spend
from pipeline.queue.spend_reader import whole_since
from pipeline.store.conditional import SafeStore, listed
from pipeline.store.memory import MemoryStore
from tests.support.report_results import result


def test_a_job_is_noted_once_whoever_notes_it() -> None:
    store = SafeStore(MemoryStore())
    for _ in range(2):
        note_spend(store, result("one"))

    assert [entry.key for entry in listed(store, SPEND)] == [SpendEntry.of(result("one")).key]


def test_of_a_bucket_without_a_job_it_is_said_that_spend_will_hold_all() -> None:
    store = SafeStore(MemoryStore())
    note_new_bucket(store)
    assert whole_since(store) == EVER

    store.create(manifest_key("one"), b"{}")
    note_new_bucket(store)
    assert whole_since(store) == EVER


def test_of_a_bucket_with_jobs_nothing_is_said() -> None:
    store = SafeStore(MemoryStore())
    store.create(manifest_key("one"), b"{}")
    note_new_bucket(store)

    assert whole_since(store) is None
