from datetime import UTC, date, datetime, timedelta

import pytest

from pipeline.contract.keys import lease_key
from pipeline.contract.spend_entry import BODY, SpendEntry, since_key, spend_day
from pipeline.queue.spend_reader import (
    FIRST,
    days_back,
    read_days,
    read_spend,
    unnoted_ids,
    whole_since,
)
from pipeline.store.base import ALWAYS
from pipeline.store.conditional import SafeStore
from pipeline.store.memory import MemoryStore
from tests.support.pipeline_fixture import CountingStore

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
TODAY = date(2026, 3, 1)
ACME = SpendEntry(TODAY, "a", 250, tenant="acme", platform="modal")
ZOO = SpendEntry(TODAY, "b", 50, tenant="zoo", batch="autumn")
UNKNOWN = SpendEntry(TODAY, "c", 0)
YESTERDAY = SpendEntry(TODAY - timedelta(days=1), "d", 100, tenant="acme")


def store_of(*keys: str) -> SafeStore:
    raw = MemoryStore(lambda: NOON)
    for key in keys:
        raw.put(key, BODY, ALWAYS)
    return SafeStore(CountingStore(raw), tries=1, sleep=lambda _: None, monotonic=lambda: 0.0)


def a_store() -> SafeStore:
    entries = (ACME, ZOO, UNKNOWN, YESTERDAY)
    return store_of(*(each.key for each in entries), f"{spend_day(TODAY)}acme/by-hand.txt")


def lists(store: SafeStore) -> int:
    assert isinstance(store.raw, CountingStore)
    return store.raw.calls["LIST"]


def at(*days_ago: int) -> SafeStore:
    """A store with an object on each of these days."""
    return store_of(*(SpendEntry(TODAY - timedelta(days), "a", 1).key for days in days_ago))


def test_a_day_has_the_jobs_of_all_tenants_and_no_other_object() -> None:
    assert set(read_spend(a_store(), TODAY)) == {ACME, ZOO, UNKNOWN}


def test_a_tenants_day_has_only_its_own_jobs() -> None:
    assert list(read_spend(a_store(), TODAY, "acme")) == [ACME]
    assert list(read_spend(a_store(), YESTERDAY.day, "acme")) == [YESTERDAY]
    assert list(read_spend(a_store(), YESTERDAY.day, "zoo")) == []


def test_days_are_read_from_the_first_to_the_last_and_no_other() -> None:
    store = at(3, 2, 1, 0, -1)
    found = [entry.day for _, entry in read_days(store, TODAY - timedelta(2), TODAY) if entry]

    assert found == [TODAY - timedelta(days) for days in (2, 1, 0)]
    assert lists(store) == 1


def test_a_stranger_between_two_days_hides_nothing() -> None:
    day = spend_day(TODAY)
    store = store_of("spend/2026-03-01.txt", "spend/2026-02-30/a", ACME.key, f"{day}x")
    found = list(read_days(store, YESTERDAY.day, TODAY))

    assert [entry for _, entry in found if entry] == [ACME]
    assert len(found) == 4
    assert list(days_back(store)) == [TODAY]


@pytest.mark.parametrize(
    "days",
    [(), (0,), (-1, 0), (0, 1, 2), (1, 2, 5), (0, 7, 8, 400), (1000,), tuple(range(0, 90, 7))],
)
def test_the_days_on_which_jobs_ended_are_found_from_the_last_on(days: tuple[int, ...]) -> None:
    assert list(days_back(at(*days))) == [TODAY - timedelta(each) for each in sorted(days)]


def test_a_stranger_before_a_day_does_not_hide_it_from_the_search() -> None:
    ended = SpendEntry(TODAY - timedelta(3), "a", 1)
    by_hand = f"{spend_day(ended.day - timedelta(1))[:-1]}x.txt"
    assert list(days_back(store_of(by_hand, ended.key))) == [ended.day]


def test_a_gap_of_years_costs_some_twenty_lists_and_a_day_after_another_three() -> None:
    store = at(2000)
    assert next(days_back(store)) == TODAY - timedelta(2000)
    assert lists(store) <= 28

    store = at(*range(5, 900))
    assert next(days_back(store)) == TODAY - timedelta(5)
    assert lists(store) <= 8

    store = at(*range(100))
    assert len(list(zip(days_back(store), range(50), strict=False))) == 50
    assert lists(store) <= 3 * 52


def test_what_lies_under_no_day_of_this_century_is_not_searched_for() -> None:
    assert list(days_back(store_of(f"{spend_day(FIRST - timedelta(9))}a/b"))) == []


def test_what_is_no_day_is_not_listed_when_days_are_searched() -> None:
    store = store_of(*(since_key(TODAY - timedelta(days)) for days in range(30)))

    assert list(days_back(store)) == []
    assert lists(store) <= 15


def test_the_first_day_from_which_nothing_is_missing_counts() -> None:
    assert whole_since(a_store()) is None
    assert whole_since(store_of("spend/since/soon", "spend/since/2026-99-01")) is None
    later = since_key(TODAY)
    assert whole_since(store_of(later, since_key(YESTERDAY.day), ACME.key)) == YESTERDAY.day


def test_a_job_may_be_unnoted_while_its_lease_does_not_say_that_it_has_ended() -> None:
    raw = MemoryStore(lambda: NOON)
    raw.put(lease_key("running"), b"{}", ALWAYS)
    raw.put(lease_key("delivering"), b"{ }", ALWAYS)
    raw.put("leases/by-hand", b"{}", ALWAYS)

    assert unnoted_ids(SafeStore(raw)) == {"running"}
