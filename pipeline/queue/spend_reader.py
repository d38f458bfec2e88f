"""Reads spend/: what ended jobs have cost, a LIST for every 1,000 of them, and which jobs those
are. It is the index by day of all results."""

from collections.abc import Iterator
from datetime import date, timedelta

from pipeline.contract.keys import LEASES, lease_id
from pipeline.contract.lease import says_ended
from pipeline.contract.spend_entry import (
    SINCE,
    SPEND,
    SpendEntry,
    day_of,
    since_day,
    spend_day,
    spend_of,
)
from pipeline.store.base import Entry
from pipeline.store.conditional import SafeStore, listed

DAY = timedelta(days=1)
NO_DAY = f"{SPEND}:"
"""Above all days; what is no day lies above it."""
FIRST = date(2020, 1, 1)
"""No job has ended before."""


def read_spend(store: SafeStore, day: date, tenant: str | None = None) -> Iterator[SpendEntry]:
    """Of a UTC day, or of one tenant on it. Raises a StoreError."""
    for entry in listed(store, spend_of(day, tenant)):
        found = SpendEntry.parse(entry.key)
        if found is not None:
            yield found


def read_days(
    store: SafeStore, first: date, last: date
) -> Iterator[tuple[Entry, SpendEntry | None]]:
    """Every object of these UTC days, both included; a stranger's without what it says. Days on
    which nothing ended cost nothing. Raises a StoreError."""
    # SeaweedFS passes over a whole folder where its name, without the slash, is start_after.
    for entry in listed(store, SPEND, start_after=spend_day(first)):
        if entry.key.removeprefix(SPEND)[:10] > last.isoformat():
            return
        yield entry, SpendEntry.parse(entry.key)


def whole_since(store: SafeStore) -> date | None:
    """From which UTC day on every result has its object; None where nobody has said so. One LIST.
    Raises a StoreError."""
    days = (since_day(entry.key) for entry in listed(store, SINCE))
    return min((day for day in days if day is not None), default=None)


def days_back(store: SafeStore) -> Iterator[date]:
    """The UTC days on which jobs have ended, the last first. Three LIST for a day that follows upon
    another, and some twenty for a gap of years. Raises a StoreError."""
    day = _last_day(store, store.now().date() + 2 * DAY)
    while day is not None:
        yield day
        day = _last_day(store, day)


def _last_day(store: SafeStore, before: date) -> date | None:
    """The last day before this one under which something lies. Whether there is any from a day on
    is one LIST, so the bounds of the search grow from the end, and then halve."""
    start = before - DAY
    while (found := _first_day(store, start)) is None or found >= before:
        if start == FIRST:
            return None
        start = max(FIRST, before - 2 * (before - start))
    while before - found > DAY:
        middle = found + (before - found) // 2
        later = _first_day(store, middle)
        if later is not None and later < before:
            found = later
        else:
            before = middle
    return found


def _first_day(store: SafeStore, start: date) -> date | None:
    """The first day from `start` on under which something lies."""
    after = spend_day(start)
    while entries := store.list(SPEND, start_after=after, limit=1).entries:
        after = entries[0].key
        day = day_of(after)
        if day is not None or after > NO_DAY:
            return day
    return None


def unnoted_ids(store: SafeStore) -> set[str]:
    """Jobs that may have ended without an object yet: those whose lease does not say that they have
    ended. Of a job that is neither among them nor, afterwards, under spend/, no result stood when
    they were listed. Raises a StoreError."""
    entries = (entry for entry in listed(store, LEASES) if not says_ended(entry.size))
    return {id for entry in entries if (id := lease_id(entry.key)) is not None}
