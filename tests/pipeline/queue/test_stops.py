from datetime import UTC, datetime

import pytest

from config.errors import StoreDenied
from pipeline.contract.stops import ScopeKind, StopNote, StopScope
from pipeline.queue.stops import lift_stop, put_stop, read_stops, standing_stops, stopped
from pipeline.store.base import Always
from pipeline.store.conditional import SafeStore
from pipeline.store.memory import MemoryStore
from tests.support.faulty_store import Fault, FaultyStore
from tests.support.pipeline_fixture import CountingStore

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
ALL = StopScope(ScopeKind.ALL)
ACME = StopScope(ScopeKind.TENANT, "acme")


def a_store() -> tuple[CountingStore, SafeStore]:
    raw = CountingStore(MemoryStore(lambda: NOON))
    return raw, SafeStore(raw, tries=1, sleep=lambda _: None, monotonic=lambda: 0.0)


def test_one_listing_tells_all_that_stands() -> None:
    raw, store = a_store()
    put_stop(store, ALL, StopNote())
    put_stop(store, ACME, StopNote())
    raw.put("stops/by-hand.txt", b"?", Always())
    raw.calls.clear()
    assert read_stops(store).scopes == {ALL, ACME}
    assert raw.calls == {"LIST": 1}


def test_what_stands_is_shown_with_its_note_and_gone_when_lifted() -> None:
    _, store = a_store()
    put_stop(store, ACME, StopNote(reason="a"))
    put_stop(store, ACME, StopNote(reason="b"))
    assert [(each.scope, each.note.reason) for each in standing_stops(store)] == [(ACME, "b")]
    assert lift_stop(store, ACME)
    assert not lift_stop(store, ACME)
    assert list(standing_stops(store)) == []


def test_a_lift_whose_answer_was_lost_leaves_a_stop_that_was_put_since() -> None:
    bucket = MemoryStore(lambda: NOON)
    faults = [None, Fault.REPLY_LOST, None]
    raw = FaultyStore(bucket, lambda number: faults[number])

    def put_again(_: float) -> None:
        put_stop(SafeStore(bucket), ALL, StopNote(reason="again"))

    put_stop(SafeStore(bucket), ALL, StopNote())
    store = SafeStore(raw, conditional_delete=True, tries=3, sleep=put_again, monotonic=lambda: 0.0)
    assert lift_stop(store, ALL)
    assert read_stops(SafeStore(bucket)).scopes == {ALL}


def test_a_stop_that_is_lifted_between_the_listing_and_its_note_is_not_shown() -> None:
    raw, store = a_store()
    put_stop(store, ALL, StopNote())
    put_stop(store, ACME, StopNote())

    def lift(call: str, key: str) -> None:
        if (call, key) == ("GET", ALL.key):
            raw.delete(key)

    raw.fail = lift
    assert [each.scope for each in standing_stops(store)] == [ACME]


def test_a_store_that_does_not_answer_is_no_lift() -> None:
    raw, store = a_store()
    raw.fail = lambda call, key: StoreDenied("403")
    with pytest.raises(StoreDenied):
        read_stops(store)


def test_the_reason_names_the_scope() -> None:
    assert stopped(ACME).message == "an operator has stopped tenant acme"
    assert stopped(ALL).retryable


def test_a_stop_stands_since_its_note_says_or_it_was_put() -> None:
    put_at, noted = datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC)
    store = SafeStore(MemoryStore(lambda: put_at))
    put_stop(store, StopScope(ScopeKind.ALL), StopNote(at=noted))
    store.raw.put("stops/tenant.acme", b"by hand", Always())
    assert [stop.since for stop in standing_stops(store)] == [noted, put_at]
