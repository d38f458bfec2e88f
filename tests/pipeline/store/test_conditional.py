from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import NoReturn

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.errors import StoreUnavailable
from pipeline.store.base import (
    ALWAYS,
    CONNECT_S,
    READ_S,
    Always,
    Condition,
    IfAbsent,
    IfMatch,
    OutcomeUnknown,
    Page,
    PreconditionFailed,
    Stored,
    Written,
)
from pipeline.store.conditional import (
    LAST_START_S,
    Attempted,
    Lost,
    SafeStore,
    Won,
    classify,
    listed,
)
from pipeline.store.memory import MemoryStore
from system.backoff import Backoff
from tests.support.faulty_store import Fault, FaultyStore

NOW = datetime(2026, 1, 1, tzinfo=UTC)
UNCLEAR = [Fault.REPLY_LOST, Fault.NOT_APPLIED, Fault.BUSY, Fault.OWN_SUCCESS_IS_412]


class Rig:
    """A SafeStore over a store in memory, with faults by call number and no real time."""

    def __init__(
        self,
        *faults: Fault | None,
        tries: int = 4,
        standing: bytes | None = None,
        jitter: float = 1.0,
    ):
        self.memory = MemoryStore(lambda: NOW)
        self.etag = ""
        if standing is not None:
            self.etag = self.memory.put("key", standing, Always()).etag
        self.faulty = FaultyStore(
            self.memory, lambda number: faults[number] if number < len(faults) else None
        )
        self.slept: list[float] = []
        self.clock = 100.0
        self.store = SafeStore(
            self.faulty,
            tries=tries,
            backoff=Backoff(first_s=1.0, longest_s=3.0),
            sleep=self.slept.append,
            monotonic=lambda: self.clock,
            jitter=lambda: jitter,
        )

    @property
    def body(self) -> bytes | None:
        stored = self.memory.get("key")
        return None if stored is None else stored.body

    @property
    def calls(self) -> list[str]:
        return [name for name, _ in self.faulty.calls]


def at(body: bytes, etag: str) -> Stored:
    return Stored(body, len(body), etag, NOW, NOW)


@pytest.mark.parametrize("condition", [IfAbsent(), IfMatch("before")])
def test_our_bytes_are_our_success(condition: IfAbsent | IfMatch) -> None:
    assert classify(b"mine", condition, at(b"mine", "new")) is Attempted.MINE


def test_our_bytes_are_our_success_even_if_the_condition_would_hold_again() -> None:
    assert classify(b"mine", IfMatch("new"), at(b"mine", "new")) is Attempted.MINE


@pytest.mark.parametrize(
    ("condition", "current", "verdict"),
    [
        (IfAbsent(), None, Attempted.AGAIN),
        (IfAbsent(), at(b"theirs", "e"), Attempted.LOST),
        (IfMatch("before"), at(b"old", "before"), Attempted.AGAIN),
        (IfMatch("before"), at(b"theirs", "after"), Attempted.LOST),
        (IfMatch("before"), None, Attempted.LOST),
    ],
)
def test_other_bytes_tell_whether_to_try_again(
    condition: IfAbsent | IfMatch, current: Stored | None, verdict: Attempted
) -> None:
    assert classify(b"mine", condition, current) is verdict


def test_a_plain_success_is_certain_and_costs_one_call() -> None:
    rig = Rig()
    won = rig.store.create("key", b"mine")
    assert isinstance(won, Won)
    assert won.fresh
    assert rig.calls == ["PUT"]
    replaced = rig.store.replace("key", b"next", won.etag)
    assert isinstance(replaced, Won)
    assert replaced.fresh
    assert rig.calls == ["PUT", "PUT"]
    assert rig.body == b"next"


def test_a_loss_names_what_stands_there() -> None:
    rig = Rig(standing=b"theirs")
    lost = rig.store.create("key", b"mine")
    assert isinstance(lost, Lost)
    assert lost.current is not None
    assert lost.current.body == b"theirs"
    assert rig.calls == ["PUT", "GET"]
    assert isinstance(rig.store.replace("key", b"mine", "stale"), Lost)
    assert rig.store.replace("gone", b"mine", "stale") == Lost(None)
    assert rig.body == b"theirs"
    assert rig.slept == []


@pytest.mark.parametrize("fault", UNCLEAR)
def test_a_create_ends_in_our_success_whatever_the_reply(fault: Fault) -> None:
    rig = Rig(fault)
    won = rig.store.create("key", b"mine")
    assert isinstance(won, Won)
    assert rig.body == b"mine"
    stored = rig.memory.get("key")
    assert stored is not None
    assert won.etag == stored.etag
    assert not won.fresh


@pytest.mark.parametrize("fault", UNCLEAR)
def test_a_replace_ends_in_our_success_whatever_the_reply(fault: Fault) -> None:
    rig = Rig(fault, standing=b"old")
    won = rig.store.replace("key", b"mine", rig.etag)
    assert isinstance(won, Won)
    assert not won.fresh
    assert rig.body == b"mine"


@pytest.mark.parametrize("fault", UNCLEAR)
def test_another_writer_wins_however_unclear_the_reply(fault: Fault) -> None:
    rig = Rig(fault if fault is not Fault.OWN_SUCCESS_IS_412 else Fault.BUSY, standing=b"theirs")
    assert isinstance(rig.store.create("key", b"mine"), Lost)
    assert isinstance(Rig(Fault.BUSY, standing=b"new").store.replace("key", b"m", "old"), Lost)
    assert rig.body == b"theirs"


def test_the_read_that_clears_it_up_may_be_unclear_too() -> None:
    rig = Rig(Fault.REPLY_LOST, Fault.BUSY, Fault.NOT_APPLIED)
    assert isinstance(rig.store.create("key", b"mine"), Won)
    assert rig.calls == ["PUT", "GET", "GET", "GET"]


def test_a_store_that_stays_unclear_is_unavailable() -> None:
    rig = Rig(Fault.BUSY, None, Fault.BUSY, None, Fault.NOT_APPLIED, None, tries=3)
    with pytest.raises(StoreUnavailable, match="3 tries: timeout") as caught:
        rig.store.create("key", b"mine")
    assert caught.value.retryable
    assert rig.calls == ["PUT", "GET"] * 3
    assert rig.slept == [1.0, 2.0]  # not after the last


def test_waits_double_up_to_the_longest() -> None:
    rig = Rig(*[Fault.BUSY] * 5, tries=5)
    with pytest.raises(StoreUnavailable):
        rig.store.get("key")
    assert rig.slept == [1.0, 2.0, 3.0, 3.0]
    assert len(rig.calls) == 5


def test_half_of_each_wait_is_jitter() -> None:
    rig = Rig(*[Fault.BUSY] * 5, tries=5, jitter=0.0)
    with pytest.raises(StoreUnavailable):
        rig.store.get("key")
    assert rig.slept == [0.5, 1.0, 1.5, 1.5]


def test_an_unclear_store_is_asked_six_times_within_some_seconds() -> None:
    slept: list[float] = []
    faulty = FaultyStore(MemoryStore(lambda: NOW), lambda number: Fault.BUSY)
    with pytest.raises(StoreUnavailable):
        SafeStore(faulty, sleep=slept.append, jitter=lambda: 1.0).get("key")
    assert slept == [0.1, 0.2, 0.4, 0.8, 1.6]
    assert len(faulty.calls) == 6


class Slow(MemoryStore):
    """Each call takes its time, and is not answered."""

    def __init__(self, rig: Rig, seconds: Callable[[], float]) -> None:
        super().__init__(lambda: NOW)
        self._rig = rig
        self._seconds = seconds

    def _hang(self) -> NoReturn:
        self._rig.clock += self._seconds()
        raise OutcomeUnknown("timeout")

    def get(self, key: str, *, offset: int = 0, limit: int | None = None) -> Stored | None:
        self._hang()

    def put(
        self, key: str, body: bytes, condition: Condition, content_type: str = "application/json"
    ) -> Written:
        self._hang()

    def delete(self, key: str, condition: IfMatch | Always = ALWAYS) -> None:
        self._hang()

    def list(self, prefix: str, *, start_after: str = "", limit: int = 1000) -> Page:
        self._hang()


CALLS: dict[str, Callable[[SafeStore], object]] = {
    "get": lambda store: store.get("key"),
    "list": lambda store: store.list(""),
    "delete": lambda store: store.delete("key"),
    "delete_matching": lambda store: store.delete_matching("key", "etag"),
    "write": lambda store: store.write("key", b"mine", "text/plain"),
    "create": lambda store: store.create("key", b"mine"),
    "replace": lambda store: store.replace("key", b"mine", "etag"),
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("delete", [True, None])
@given(data=st.data())
def test_a_store_that_hangs_is_unavailable_within_twenty_seconds(
    call: str, delete: bool | None, data: st.DataObject
) -> None:
    rig = Rig()
    seconds = st.sampled_from([0.0, 0.2, CONNECT_S, READ_S, CONNECT_S + READ_S])

    def sleep(pause_s: float) -> None:
        rig.clock += pause_s

    store = SafeStore(
        Slow(rig, lambda: data.draw(seconds)),
        conditional_delete=delete,
        sleep=sleep,
        monotonic=lambda: rig.clock,
    )
    began = rig.clock
    with pytest.raises(StoreUnavailable):
        CALLS[call](store)
    assert rig.clock - began <= 20


def test_a_hanging_store_is_asked_for_as_long_as_there_is_time() -> None:
    rig = Rig()
    calls: list[float] = []

    def five() -> float:
        calls.append(rig.clock)
        return READ_S

    store = SafeStore(Slow(rig, five), sleep=lambda _: None, monotonic=lambda: rig.clock)
    with pytest.raises(StoreUnavailable, match="in 3 tries: timeout"):
        store.get("key")
    assert calls == [100.0, 105.0, 110.0]


def slow_store(rig: Rig, calls: list[float]) -> SafeStore:
    """Each call takes the next of these seconds and has no clear answer."""
    return SafeStore(
        Slow(rig, lambda: calls.pop(0)),
        backoff=Backoff(first_s=1.0, longest_s=3.0),
        sleep=lambda _: None,
        monotonic=lambda: rig.clock,
        jitter=lambda: 1.0,
    )


@pytest.mark.parametrize(("put_s", "reads"), [(LAST_START_S, 1), (LAST_START_S + 0.5, 0)])
def test_a_write_without_an_answer_is_only_looked_up_while_there_is_time(
    put_s: float, reads: int
) -> None:
    calls = [put_s, 1.0]
    with pytest.raises(StoreUnavailable):
        slow_store(Rig(), calls).create("key", b"mine")
    assert len(calls) == 1 - reads


@pytest.mark.parametrize(("first_s", "more"), [(LAST_START_S - 1, 1), (LAST_START_S - 0.5, 0)])
def test_another_try_is_made_if_its_pause_ends_in_time(first_s: float, more: int) -> None:
    calls = [first_s, 1.0]
    with pytest.raises(StoreUnavailable, match=f"in {1 + more} tries"):
        slow_store(Rig(), calls).get("key")
    assert len(calls) == 1 - more


def test_a_store_that_says_no_and_shows_no_reason_is_asked_as_often_as_any() -> None:
    class Contradictory(MemoryStore):
        puts = 0

        def put(
            self, key: str, body: bytes, condition: Condition, content_type: str = ""
        ) -> Written:
            self.puts += 1
            raise PreconditionFailed

    store = Contradictory(lambda: NOW)
    with pytest.raises(StoreUnavailable, match="in 4 tries"):
        SafeStore(store, tries=4, sleep=lambda _: None).create("key", b"mine")
    assert store.puts == 4


def test_a_conditional_delete_leaves_what_was_put_since() -> None:
    rig = Rig(standing=b"theirs")
    store = SafeStore(rig.faulty, conditional_delete=True)
    store.delete_matching("key", "before")
    assert rig.body == b"theirs"
    store.delete_matching("key", rig.etag)
    assert rig.body is None
    store.delete_matching("key", rig.etag)
    assert rig.calls == ["DELETE"] * 3


def test_where_delete_is_not_conditional_whatever_stands_there_goes() -> None:
    rig = Rig(standing=b"theirs")
    rig.store.delete_matching("key", "before")
    assert rig.body is None


@pytest.mark.parametrize("fault", UNCLEAR)
def test_a_conditional_delete_is_done_whatever_the_reply(fault: Fault) -> None:
    rig = Rig(fault, standing=b"mine")
    store = SafeStore(rig.faulty, conditional_delete=True, sleep=lambda _: None)
    store.delete_matching("key", rig.etag)
    assert rig.body is None


def test_a_store_is_asked_once_whether_its_delete_is_conditional() -> None:
    rig = Rig(standing=b"theirs")
    store = SafeStore(rig.faulty, conditional_delete=None)
    store.delete_matching("key", "before")
    asked = len(rig.calls)
    store.delete_matching("key", "before")
    assert rig.body == b"theirs"
    assert asked > 1
    assert len(rig.calls) == asked + 1
    assert store.deletes_conditionally()


def test_reads_deletes_lists_and_plain_writes_are_repeated() -> None:
    rig = Rig(Fault.NOT_APPLIED, None, Fault.BUSY, None, Fault.REPLY_LOST, None, Fault.REPLY_LOST)
    rig.store.write("key", b"mine", "text/plain")
    stored = rig.store.get("key")
    assert stored is not None
    assert stored.body == b"mine"
    assert [entry.key for entry in rig.store.list("k").entries] == ["key"]
    rig.store.delete("key")
    assert rig.store.get("key") is None
    assert rig.calls == ["PUT", "PUT", "GET", "GET", "LIST", "LIST", "DELETE", "DELETE", "GET"]


def test_limits_are_passed_on() -> None:
    rig = Rig(standing=b"0123456789")
    stored = rig.store.get("key", limit=4)
    assert stored is not None
    assert (stored.body, stored.size) == (b"0123", 10)
    rig.memory.put("key2", b"", Always())
    assert [entry.key for entry in rig.store.list("", start_after="key").entries] == ["key2"]
    assert rig.store.list("", limit=1).truncated


def test_the_clock_is_the_stores_and_goes_on_between_replies() -> None:
    rig = Rig()
    assert rig.store.now() == NOW
    assert rig.calls == ["LIST"]
    rig.clock += 7
    assert rig.store.now() == NOW + timedelta(seconds=7)
    assert rig.calls == ["LIST"]


@pytest.mark.parametrize("call", ["create", "write", "list", "get"])
def test_every_reply_sets_the_clock(call: str) -> None:
    rig = Rig(standing=b"old" if call in ("get", "write") else None)
    rig.store.now()
    rig.clock += 7
    do: dict[str, Callable[[], object]] = {
        "create": lambda: rig.store.create("key", b"mine"),
        "write": lambda: rig.store.write("key", b"mine", "text/plain"),
        "list": lambda: rig.store.list(""),
        "get": lambda: rig.store.get("key"),
    }
    do[call]()
    assert rig.store.now() == NOW


def test_a_read_of_nothing_tells_no_time() -> None:
    rig = Rig()
    assert rig.store.get("key") is None
    rig.store.delete("key")
    assert rig.store.now() == NOW
    assert rig.calls == ["GET", "DELETE", "LIST"]


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 5])
def test_everything_is_listed_page_by_page_with_no_page_too_many(count: int) -> None:
    rig = Rig()
    keys = [f"inbox/{n}" for n in range(count)]
    for key in [*keys, "other/1"]:
        rig.memory.put(key, b"", Always())
    whole = rig.faulty.list
    rig.faulty.list = lambda prefix, **at: whole(prefix, **{**at, "limit": 2})  # type: ignore[method-assign]

    assert [entry.key for entry in listed(rig.store, "inbox/")] == keys
    assert rig.calls == ["LIST"] * max(1, -(-count // 2))


def test_what_consoles_write_for_folders_is_not_listed() -> None:
    raw = MemoryStore()
    store = SafeStore(raw)
    for key in ("inbox/", "inbox/a/", "inbox/b.json", "inbox/c/", "inbox/d.json"):
        raw.put(key, b"{}" if key.endswith("json") else b"", ALWAYS)
    raw.put("inbox/full/", b"x", ALWAYS)

    def keys(limit: int, after: str = "") -> list[str]:
        return [each.key for each in store.list("inbox/", limit=limit, start_after=after).entries]

    assert keys(1000) == ["inbox/b.json", "inbox/d.json", "inbox/full/"]
    assert keys(1) == ["inbox/b.json"], "a page of markers alone is no page"
    assert keys(1, "inbox/b.json") == ["inbox/d.json"]
    assert [each.key for each in listed(store, "inbox/")] == keys(1000)


def test_a_folder_of_markers_alone_is_empty() -> None:
    raw = MemoryStore()
    raw.put("leases/", b"", ALWAYS)
    page = SafeStore(raw).list("leases/", limit=1)

    assert (list(page.entries), page.truncated) == ([], False)
