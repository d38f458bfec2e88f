"""Reads what ended jobs have cost: a LIST for every 1,000 of them."""

from collections.abc import Iterator
from datetime import date

from pipeline.contract.spend_entry import SpendEntry, spend_day, spend_prefix
from pipeline.store.conditional import SafeStore, listed


def read_spend(store: SafeStore, day: date, tenant: str | None = None) -> Iterator[SpendEntry]:
    """Of a UTC day, or of one tenant on it. Raises a StoreError."""
    prefix = spend_day(day) if tenant is None else spend_prefix(day, tenant)
    for entry in listed(store, prefix):
        found = SpendEntry.parse(entry.key)
        if found is not None:
            yield found
