"""Notes what a job has cost when its result stands, and since when that is noted of all."""

from pipeline.contract.keys import JOBS
from pipeline.contract.result import Result
from pipeline.contract.spend_entry import BODY, EVER, SpendEntry, since_key
from pipeline.store.conditional import SafeStore


def note_spend(store: SafeStore, result: Result) -> None:
    """Create the job's object under spend/. Whoever finds the result later does so again, and
    changes nothing. Raises a StoreError."""
    store.create(SpendEntry.of(result).key, BODY)


def note_new_bucket(store: SafeStore) -> None:
    """Where no job was ever taken in, say that spend/ holds all that end: a LIST, and a PUT while
    there is none. Called before anything is claimed. Raises a StoreError."""
    if not store.list(JOBS, limit=1).entries:
        store.create(since_key(EVER), BODY)
