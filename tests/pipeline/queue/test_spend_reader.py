from datetime import UTC, date, datetime, timedelta

from pipeline.contract.spend_entry import BODY, SpendEntry, spend_day
from pipeline.queue.spend_reader import read_spend
from pipeline.store.base import ALWAYS
from pipeline.store.conditional import SafeStore
from pipeline.store.memory import MemoryStore

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
TODAY = date(2026, 3, 1)
ACME = SpendEntry(TODAY, "a", 250, tenant="acme", platform="modal")
ZOO = SpendEntry(TODAY, "b", 50, tenant="zoo", batch="autumn")
UNKNOWN = SpendEntry(TODAY, "c", 0)
YESTERDAY = SpendEntry(TODAY - timedelta(days=1), "d", 100, tenant="acme")


def a_store() -> SafeStore:
    raw = MemoryStore(lambda: NOON)
    for each in (ACME, ZOO, UNKNOWN, YESTERDAY):
        raw.put(each.key, BODY, ALWAYS)
    raw.put(f"{spend_day(TODAY)}acme/by-hand.txt", b"?", ALWAYS)
    return SafeStore(raw, tries=1, sleep=lambda _: None, monotonic=lambda: 0.0)


def test_a_day_has_the_jobs_of_all_tenants_and_no_other_object() -> None:
    assert set(read_spend(a_store(), TODAY)) == {ACME, ZOO, UNKNOWN}


def test_a_tenants_day_has_only_its_own_jobs() -> None:
    assert list(read_spend(a_store(), TODAY, "acme")) == [ACME]
    assert list(read_spend(a_store(), YESTERDAY.day, "acme")) == [YESTERDAY]
    assert list(read_spend(a_store(), YESTERDAY.day, "zoo")) == []
