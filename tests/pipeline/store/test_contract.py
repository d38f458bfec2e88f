"""What every store of the port does, asked of each: in memory, moto, and the real SeaweedFS."""

import hashlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from pipeline.local.seaweed import SeaweedServer
from pipeline.store.base import (
    Always,
    Condition,
    Entry,
    IfAbsent,
    IfMatch,
    Page,
    PreconditionFailed,
    Store,
    Written,
)
from pipeline.store.memory import MemoryStore
from pipeline.store.open import open_store
from pipeline.store.probe import honours_if_match_on_delete, probe, require_conditional
from tests.support.seaweed import fresh_bucket

WHOLE_SECOND = timedelta(seconds=1)


@dataclass(frozen=True)
class Corner:
    """A part of a store that one test has for itself."""

    store: Store
    prefix: str

    def key(self, name: str) -> str:
        return self.prefix + name

    def put(self, name: str, body: bytes = b"{}", condition: Condition | None = None) -> Written:
        return self.store.put(self.key(name), body, condition or Always())

    def body(self, name: str) -> bytes | None:
        stored = self.store.get(self.key(name))
        return None if stored is None else stored.body

    def page(self, prefix: str = "", *, start_after: str = "", limit: int = 1000) -> Page:
        after = self.key(start_after) if start_after else ""
        return self.store.list(self.key(prefix), start_after=after, limit=limit)

    def names(self, prefix: str = "", *, start_after: str = "", limit: int = 1000) -> list[str]:
        page = self.page(prefix, start_after=start_after, limit=limit)
        return [entry.key.removeprefix(self.prefix) for entry in page.entries]


@pytest.fixture(scope="module")
def real(seaweed: SeaweedServer, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """One bucket for all tests here: their prefixes keep them apart."""
    return open_store(fresh_bucket(seaweed, tmp_path_factory.mktemp("state"))).raw


@pytest.fixture(scope="module")
def moto() -> Iterator[Store]:
    from tests.support.moto_store import moto_store  # a quarter of a second

    with moto_store() as store:
        yield store


@pytest.fixture(scope="module")
def memory() -> Store:
    return MemoryStore()


@pytest.fixture(params=["memory", "moto", "real"])
def corner(request: pytest.FixtureRequest) -> Corner:
    return Corner(request.getfixturevalue(request.param), f"{uuid4().hex}/")


def test_what_was_put_is_got(corner: Corner) -> None:
    before = datetime.now(UTC) - WHOLE_SECOND
    written = corner.put("a.json", b'{"a": 1}')
    stored = corner.store.get(corner.key("a.json"))
    assert stored is not None
    assert stored.body == b'{"a": 1}'
    assert stored.size == 8
    assert stored.etag == written.etag
    assert before <= stored.last_modified <= stored.date
    assert stored.last_modified.utcoffset() == timedelta()


def test_etags_come_without_quotes_and_are_the_md5_of_the_bytes(corner: Corner) -> None:
    written = corner.put("a.json", b"abc")
    assert written.etag == hashlib.md5(b"abc", usedforsecurity=False).hexdigest()
    assert corner.page().entries[0].etag == written.etag


def test_the_clock_is_the_stores_in_utc_and_whole_seconds(corner: Corner) -> None:
    dates = [corner.put("a").date, corner.page().date]
    stored = corner.store.get(corner.key("a"))
    assert stored is not None
    for date in (*dates, stored.date):
        assert date.utcoffset() == timedelta()
        assert date.microsecond == 0
        assert abs(date - datetime.now(UTC)) < timedelta(seconds=10)


def test_a_key_that_is_not_there_is_none(corner: Corner) -> None:
    assert corner.store.get(corner.key("none")) is None
    assert corner.store.get(corner.key("none"), limit=10) is None


def test_deleting_removes_and_may_be_repeated(corner: Corner) -> None:
    corner.put("a")
    for _ in range(2):
        corner.store.delete(corner.key("a"))
        assert corner.body("a") is None
    assert corner.names() == []


def test_a_conditional_delete_removes_only_what_it_names(corner: Corner) -> None:
    first = corner.put("a", b"1")
    second = corner.put("a", b"2")
    with pytest.raises(PreconditionFailed):
        corner.store.delete(corner.key("a"), IfMatch(first.etag))
    assert corner.body("a") == b"2"
    corner.store.delete(corner.key("a"), IfMatch(second.etag))
    assert corner.body("a") is None
    with suppress(PreconditionFailed):  # SeaweedFS says so of what is gone, others do not
        corner.store.delete(corner.key("a"), IfMatch(second.etag))
    assert honours_if_match_on_delete(corner.store, "nonce")
    assert corner.store.list("checks/nonce").entries == ()


def test_an_empty_object_is_an_object(corner: Corner) -> None:
    corner.put("empty", b"")
    stored = corner.store.get(corner.key("empty"))
    assert stored is not None
    assert (stored.body, stored.size) == (b"", 0)
    assert [entry.size for entry in corner.page().entries] == [0]


@pytest.mark.parametrize(
    ("body", "limit", "seen"),
    [
        pytest.param(b"0123456789", 4, b"0123", id="less than all"),
        pytest.param(b"0123456789", 10, b"0123456789", id="exactly all"),
        pytest.param(b"0123456789", 11, b"0123456789", id="more than all"),
        pytest.param(b"0", 1, b"0", id="one byte"),
        pytest.param(b"", 11, b"", id="an empty object"),
    ],
)
def test_a_limited_get_reads_the_beginning_and_tells_the_whole_size(
    corner: Corner, body: bytes, limit: int, seen: bytes
) -> None:
    written = corner.put("a", body)
    stored = corner.store.get(corner.key("a"), limit=limit)
    assert stored is not None
    assert (stored.body, stored.size, stored.etag) == (seen, len(body), written.etag)


@pytest.mark.parametrize(
    ("offset", "limit", "seen"),
    [
        pytest.param(4, 3, b"456", id="in the middle"),
        pytest.param(4, None, b"456789", id="to the end"),
        pytest.param(8, 5, b"89", id="over the end"),
        pytest.param(10, 1, b"", id="at the end"),
        pytest.param(99, None, b"", id="past the end"),
    ],
)
def test_a_get_reads_from_an_offset(
    corner: Corner, offset: int, limit: int | None, seen: bytes
) -> None:
    written = corner.put("a", b"0123456789")
    stored = corner.store.get(corner.key("a"), offset=offset, limit=limit)
    assert stored is not None
    assert (stored.body, stored.size, stored.etag) == (seen, 10, written.etag)
    assert corner.store.get(corner.key("none"), offset=offset, limit=limit) is None


def test_a_large_body_comes_back_whole(corner: Corner) -> None:
    body = bytes(range(256)) * 4096
    corner.store.put(corner.key("big.bin"), body, Always(), "application/octet-stream")
    assert corner.body("big.bin") == body


def test_if_absent_creates_once(corner: Corner) -> None:
    corner.put("a", b"first", IfAbsent())
    with pytest.raises(PreconditionFailed):
        corner.put("a", b"second", IfAbsent())
    assert corner.body("a") == b"first"


def test_if_absent_creates_again_after_a_delete(corner: Corner) -> None:
    corner.put("a", b"first", IfAbsent())
    corner.store.delete(corner.key("a"))
    corner.put("a", b"second", IfAbsent())
    assert corner.body("a") == b"second"


def test_if_match_replaces_what_it_names(corner: Corner) -> None:
    first = corner.put("a", b"1")
    second = corner.put("a", b"2", IfMatch(first.etag))
    assert corner.body("a") == b"2"
    with pytest.raises(PreconditionFailed):
        corner.put("a", b"3", IfMatch(first.etag))
    assert corner.body("a") == b"2"
    corner.put("a", b"4", IfMatch(second.etag))
    assert corner.body("a") == b"4"


def test_if_match_on_a_missing_key_writes_nothing(corner: Corner) -> None:
    etag = corner.put("a", b"1").etag
    corner.store.delete(corner.key("a"))
    with pytest.raises(PreconditionFailed):
        corner.put("a", b"2", IfMatch(etag))
    assert corner.body("a") is None


def test_always_overwrites(corner: Corner) -> None:
    corner.put("a", b"1")
    corner.put("a", b"2", Always())
    assert corner.body("a") == b"2"


def test_equal_bytes_have_equal_etags_so_bodies_need_a_nonce(corner: Corner) -> None:
    first = corner.put("a", b"A")
    corner.put("a", b"B", IfMatch(first.etag))
    back = corner.put("a", b"A")
    assert back.etag == first.etag


def test_a_listing_is_in_byte_order(corner: Corner) -> None:
    names = ["0.t.m.x", "10", "4-x", "4.acme.m.x", "40", "a", "a-b", "a.b", "a_b", "aa", "b"]
    for name in reversed(names):
        corner.put(name)
    assert corner.names() == sorted(names, key=str.encode) == names


def test_a_listing_tells_each_object(corner: Corner) -> None:
    written = corner.put("a", b"12345")
    page = corner.page()
    (entry,) = page.entries
    assert entry == Entry(corner.key("a"), written.etag, 5, entry.last_modified)
    assert timedelta() <= page.date - entry.last_modified < timedelta(seconds=10)
    assert not page.truncated


def test_a_listing_keeps_to_its_prefix(corner: Corner) -> None:
    for name in ("inbox/a", "inbox/b", "inbox2/c", "jobs/a"):
        corner.put(name)
    assert corner.names("inbox/") == ["inbox/a", "inbox/b"]
    assert corner.names("inbox/b") == ["inbox/b"]
    assert corner.names("none/") == []


def test_start_after_skips_up_to_and_with_the_key(corner: Corner) -> None:
    for name in ("in/a", "in/b", "in/c"):
        corner.put(name)
    assert corner.names("in/", start_after="in/a") == ["in/b", "in/c"]
    assert corner.names("in/", start_after="in/a~") == ["in/b", "in/c"]
    assert corner.names("in/", start_after="a") == ["in/a", "in/b", "in/c"]
    assert corner.names("in/", start_after="in/c") == []
    assert corner.names("in/", start_after="z") == []


def test_start_after_takes_a_key_with_the_highest_ascii_character(corner: Corner) -> None:
    for name in ("4.acme.flux.a", "4.acme.flux.z", "4.acme.other.a", "5.acme.flux.a"):
        corner.put(name)
    assert corner.names(start_after="4.acme.flux.\x7f") == ["4.acme.other.a", "5.acme.flux.a"]


def test_pages_join_up(corner: Corner) -> None:
    names = [f"{n:02}" for n in range(7)]
    for name in names:
        corner.put(name)
    first = corner.page(limit=3)
    assert first.truncated
    assert len(first.entries) == 3
    assert corner.names(start_after="02", limit=4) == names[3:]
    assert not corner.page(start_after="02", limit=4).truncated
    assert corner.page(start_after="02", limit=3).truncated


def test_an_object_shows_at_once_and_is_gone_at_once(corner: Corner) -> None:
    for n in range(5):
        corner.put("a", str(n).encode())
        assert corner.names() == ["a"]
        corner.store.delete(corner.key("a"))
        assert corner.names() == []


def test_a_stray_name_can_be_listed_read_and_deleted(corner: Corner) -> None:
    for name in ("Bad Name.json", "a+b&c=d.json", "ü€.json", "per%20cent.json"):
        corner.put(name, name.encode())
        assert corner.names() == [name]
        assert corner.body(name) == name.encode()
        corner.store.delete(corner.key(name))
        assert corner.names() == []


def test_the_probe_finds_every_promise_kept_and_leaves_nothing(corner: Corner) -> None:
    assert all(item.kept for item in probe(corner.store, "nonce"))
    require_conditional(corner.store, "nonce")
    assert corner.store.list("checks/nonce").entries == ()
