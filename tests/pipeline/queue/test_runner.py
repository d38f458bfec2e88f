"""Each call of a procedure is the one store call, or the one other act, that it stands for."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest

from pipeline.contract.keys import MAX_BYTES, lease_key, manifest_key, result_key
from pipeline.queue.protocol import (
    Call,
    CreateLease,
    CreateManifest,
    CreateResult,
    DropInbox,
    DropLease,
    End,
    NotMine,
    ReadInbox,
    ReadManifest,
    ReadResult,
    RejectConflict,
    ReplaceLease,
    Stale,
    Step,
)
from pipeline.queue.runner import Performer, perform, run
from pipeline.store.base import Always, Stored
from pipeline.store.conditional import Lost, SafeStore, Won
from pipeline.store.memory import MemoryStore
from tests.support.jobs import a_lease, a_result

NOW = datetime(2026, 1, 1, tzinfo=UTC)
INBOX = "inbox/job.json"


@pytest.fixture
def memory() -> MemoryStore:
    return MemoryStore(lambda: NOW)


@pytest.fixture
def store(memory: MemoryStore) -> SafeStore:
    return SafeStore(memory)


def body(memory: MemoryStore, key: str) -> bytes | None:
    stored = memory.get(key)
    return None if stored is None else stored.body


CREATED: list[tuple[Call, str, bytes]] = [
    (CreateLease(a_lease()), lease_key("job"), a_lease().body()),
    (CreateManifest("job", b"{}"), manifest_key("job"), b"{}"),
    (CreateResult(a_result()), result_key("job"), a_result().body()),
]


@pytest.mark.parametrize(("call", "key", "content"), CREATED)
def test_what_is_created_is_written_once(
    memory: MemoryStore, store: SafeStore, call: Call, key: str, content: bytes
) -> None:
    assert isinstance(perform(call, store, {}), Won)
    assert body(memory, key) == content

    memory.put(key, b"another's", Always())
    assert isinstance(perform(call, store, {}), Lost)
    assert body(memory, key) == b"another's"


def test_a_lease_is_replaced_under_its_etag_alone(memory: MemoryStore, store: SafeStore) -> None:
    etag = memory.put(lease_key("job"), a_lease().body(), Always()).etag
    later = a_lease().with_(owner="later")

    assert isinstance(perform(ReplaceLease(later, "stale"), store, {}), Lost)
    assert body(memory, lease_key("job")) == a_lease().body()
    assert isinstance(perform(ReplaceLease(later, etag), store, {}), Won)
    assert body(memory, lease_key("job")) == later.body()


@pytest.mark.parametrize(
    ("call", "key"),
    [
        (ReadInbox(INBOX), INBOX),
        (ReadManifest("job"), manifest_key("job")),
        (ReadResult("job"), result_key("job")),
    ],
)
def test_what_is_read_is_what_stands_there(
    memory: MemoryStore, store: SafeStore, call: Call, key: str
) -> None:
    assert perform(call, store, {}) is None
    memory.put(key, b"it", Always())
    stored = perform(call, store, {})
    assert isinstance(stored, Stored)
    assert stored.body == b"it"


def test_of_an_entry_a_byte_more_than_a_manifest_may_have_is_read(
    memory: MemoryStore, store: SafeStore
) -> None:
    memory.put(INBOX, b"x" * (MAX_BYTES + 5), Always())
    stored = perform(ReadInbox(INBOX), store, {})
    assert (len(stored.body), stored.size) == (MAX_BYTES + 1, MAX_BYTES + 5)


def test_what_is_dropped_is_gone(memory: MemoryStore, store: SafeStore) -> None:
    memory.put(lease_key("job"), b"it", Always())
    assert perform(DropLease("job"), store, {}) is None
    assert body(memory, lease_key("job")) is None


def test_an_inbox_entry_is_dropped_as_it_was_read_and_no_other(
    memory: MemoryStore, store: SafeStore
) -> None:
    read = memory.put(INBOX, b"it", Always())
    perform(DropInbox(INBOX, read.etag), store, {})
    assert body(memory, INBOX) is None

    memory.put(INBOX, b"another", Always())
    perform(DropInbox(INBOX, read.etag), SafeStore(memory, conditional_delete=True), {})
    assert body(memory, INBOX) == b"another"


def test_what_is_no_store_call_is_performed_by_others(store: SafeStore) -> None:
    call = RejectConflict(INBOX, b"{}")
    others: dict[type, Performer] = {
        ReadInbox: lambda call: "not asked",
        RejectConflict: lambda call: ("filed", call),
    }

    assert perform(call, store, others) == ("filed", call)
    assert perform(ReadInbox(INBOX), store, others) is None
    with pytest.raises(KeyError):
        perform(call, store, {})


@dataclass(frozen=True)
class Asking:
    """Reads so many keys, one after the other, and ends with what the last one said."""

    keys: tuple[str, ...]
    asked: Call

    @property
    def call(self) -> Call:
        return self.asked

    def next(self, reply: Any) -> Step | End:
        if reply is None:
            return Stale()
        return Asking(self.keys[1:], ReadInbox(self.keys[0])) if self.keys else NotMine()


def test_a_procedure_is_run_call_by_call_to_its_end(memory: MemoryStore, store: SafeStore) -> None:
    memory.put("inbox/a.json", b"", Always())
    first = ReadInbox("inbox/a.json")

    assert run(Asking((), first), store) == NotMine()
    assert run(Asking(("inbox/a.json",), first), store) == NotMine()
    assert run(Asking(("inbox/b.json", "inbox/a.json"), first), store) == Stale()


def test_a_procedure_has_its_other_calls_performed(store: SafeStore) -> None:
    others: dict[type, Performer] = {RejectConflict: lambda call: call.body}
    asking = RejectConflict(INBOX, b"{}")

    assert run(Asking((), asking), store, others) == NotMine()
    with pytest.raises(KeyError):
        run(Asking((), asking), store)
