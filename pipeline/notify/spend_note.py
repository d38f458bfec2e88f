"""Notes what a job has cost when its result stands."""

from pipeline.contract.result import Result
from pipeline.contract.spend_entry import BODY, SpendEntry
from pipeline.store.conditional import SafeStore


def note_spend(store: SafeStore, result: Result) -> None:
    """Create the job's object under spend/. Whoever finds the result later does so again, and
    changes nothing. Raises a StoreError."""
    store.create(SpendEntry.of(result).key, BODY)
