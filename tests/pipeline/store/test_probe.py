from collections.abc import Callable

import pytest

from config.errors import StoreDenied, StoreNotConditional, StoreUnavailable
from pipeline.store.base import (
    ALWAYS,
    Always,
    Busy,
    Condition,
    Entry,
    IfAbsent,
    IfMatch,
    OutcomeUnknown,
    Page,
    PreconditionFailed,
    Stored,
    Written,
)
from pipeline.store.memory import MemoryStore
from pipeline.store.probe import (
    PREFIX,
    honours_if_match_on_delete,
    probe,
    require_conditional,
)


class Forgetful(MemoryStore):
    """Takes conditions and does not honour them."""

    def __init__(self, *ignored: type[Condition]) -> None:
        super().__init__()
        self._ignored = ignored

    def put(
        self, key: str, body: bytes, condition: Condition, content_type: str = "application/json"
    ) -> Written:
        ignored = isinstance(condition, self._ignored)
        return super().put(key, body, Always() if ignored else condition, content_type)


class Creating(MemoryStore):
    """If-Match on a missing key creates it."""

    def put(
        self, key: str, body: bytes, condition: Condition, content_type: str = "application/json"
    ) -> Written:
        missing = isinstance(condition, IfMatch) and self.get(key) is None
        return super().put(key, body, Always() if missing else condition, content_type)


class Refusing(MemoryStore):
    """Answers 412 to every If-Match."""

    def put(
        self, key: str, body: bytes, condition: Condition, content_type: str = "application/json"
    ) -> Written:
        if isinstance(condition, IfMatch):
            raise PreconditionFailed(key)
        return super().put(key, body, condition, content_type)


class LateListing(MemoryStore):
    """LIST shows what was there a write ago."""

    def list(self, prefix: str, *, start_after: str = "", limit: int = 1000) -> Page:
        page = super().list(prefix, start_after=start_after, limit=limit)
        old = (Entry(e.key, "0" * 32, e.size, e.last_modified) for e in page.entries)
        return Page(tuple(old), page.truncated, page.date)


class Undead(MemoryStore):
    """A deleted object can be read for a while."""

    def __init__(self) -> None:
        super().__init__()
        self._ghosts: dict[str, Stored | None] = {}

    def delete(self, key: str, condition: IfMatch | Always = ALWAYS) -> None:
        self._ghosts[key] = super().get(key)
        super().delete(key, condition)

    def get(self, key: str, *, offset: int = 0, limit: int | None = None) -> Stored | None:
        return super().get(key, offset=offset, limit=limit) or self._ghosts.get(key)


@pytest.mark.parametrize(
    ("store", "promise"),
    [
        pytest.param(Forgetful(IfAbsent), "a second If-None-Match", id="forgets If-None-Match"),
        pytest.param(Forgetful(IfMatch), "a stale If-Match is refused", id="forgets If-Match"),
        pytest.param(Creating(), "If-Match on a missing key", id="If-Match creates"),
        pytest.param(Refusing(), "a matching If-Match replaces", id="refuses If-Match"),
        pytest.param(LateListing(), "a LIST right after the PUT", id="lists late"),
        pytest.param(Undead(), "a deleted object is gone", id="deletes late"),
    ],
)
def test_a_store_that_breaks_a_promise_is_refused_by_its_name(
    store: MemoryStore, promise: str
) -> None:
    with pytest.raises(StoreNotConditional, match=promise) as caught:
        require_conditional(store, "nonce")
    assert caught.value.hint is not None


def test_only_what_is_broken_is_named() -> None:
    broken = [item.promise for item in probe(Creating(), "nonce") if not item.kept]
    assert broken == ["If-Match on a missing key is refused"]


def test_a_store_that_forgets_everything_breaks_every_promise_about_writes() -> None:
    broken = [
        item.promise for item in probe(Forgetful(IfAbsent, IfMatch), "nonce") if not item.kept
    ]
    assert len(broken) == 5, broken


@pytest.mark.parametrize("make", [MemoryStore, Creating, LateListing])
def test_the_probe_leaves_nothing_behind(make: Callable[[], MemoryStore]) -> None:
    store = make()
    probe(store, "nonce")
    assert store.list(PREFIX).entries == ()


def test_a_store_that_takes_one_write_a_second_to_a_key_is_given_them() -> None:
    class Slow(MemoryStore):
        rested = True

        def put(
            self,
            key: str,
            body: bytes,
            condition: Condition,
            content_type: str = "application/json",
        ) -> Written:
            if not self.rested:
                raise Busy("429")
            self.rested = False
            return super().put(key, body, condition, content_type)

    store, slept = Slow(), list[float]()

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        store.rested = True

    require_conditional(store, "nonce", sleep)
    assert slept == [1.0] * 4


@pytest.mark.parametrize(
    ("refusal", "conditional"),
    [
        pytest.param(None, True, id="honours it"),
        pytest.param(StoreDenied("400"), False, id="refuses it"),
        pytest.param(StoreNotConditional("501"), False, id="has none"),
        pytest.param(PreconditionFailed("412"), False, id="always refuses"),
    ],
)
def test_whether_delete_is_conditional_is_found_out(
    refusal: Exception | None, conditional: bool
) -> None:
    class Deleting(MemoryStore):
        def delete(self, key: str, condition: IfMatch | Always = ALWAYS) -> None:
            if refusal and isinstance(condition, IfMatch):
                raise refusal
            super().delete(key, condition)

    store = Deleting()
    assert honours_if_match_on_delete(store, "nonce") is conditional
    assert store.list(PREFIX).entries == ()


def test_a_delete_that_takes_a_condition_and_forgets_it_is_not_conditional() -> None:
    store = Careless()
    assert not honours_if_match_on_delete(store, "nonce")
    assert store.list(PREFIX).entries == ()


class Careless(MemoryStore):
    """DELETE forgets its condition."""

    def delete(self, key: str, condition: IfMatch | Always = ALWAYS) -> None:
        super().delete(key)


@pytest.mark.parametrize("unclear", [Busy("429"), OutcomeUnknown("timeout")])
def test_a_store_without_an_answer_is_unavailable(unclear: Exception) -> None:
    class Silent(MemoryStore):
        def put(
            self,
            key: str,
            body: bytes,
            condition: Condition,
            content_type: str = "application/json",
        ) -> Written:
            raise unclear

    with pytest.raises(StoreUnavailable):
        require_conditional(Silent(), "nonce", lambda _: None)
