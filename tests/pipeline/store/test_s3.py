import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from pydantic import SecretStr

from config.errors import StoreDenied, StoreNotConditional, StoreUnavailable
from config.settings import Settings
from pipeline.local.seaweed import SeaweedServer
from pipeline.store.base import (
    Always,
    Busy,
    IfAbsent,
    IfMatch,
    OutcomeUnknown,
    PreconditionFailed,
    Presigns,
    Store,
)
from pipeline.store.conditional import Lost, SafeStore, Won
from pipeline.store.open import open_checked_store, open_store
from pipeline.store.s3 import S3Store, connect
from system.backoff import Backoff
from tests.support.flaky_proxy import Answer, Fate, FlakyProxy, always, first
from tests.support.seaweed import fresh_bucket
from tests.support.stack import wait_until

QUICK: Any = {"tries": 4, "backoff": Backoff(first_s=0.001, longest_s=5.0)}


def xml(code: str) -> bytes:
    return (
        f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>told</Message></Error>".encode()
    )


# What an answer of the store means


def settings_at(url: str) -> Settings:
    keys = {"access_key_id": "k", "secret_access_key": "s"}
    return Settings.model_validate({"endpoint_url": url, **keys})


@pytest.fixture(scope="module")
def answering() -> Iterator[FlakyProxy]:
    with FlakyProxy() as proxy:
        yield proxy


@pytest.fixture
def told(answering: FlakyProxy) -> FlakyProxy:
    """A store that only says what it is told to."""
    answering.seen.clear()
    return answering


@pytest.fixture(scope="module")
def client(answering: FlakyProxy) -> S3Store:
    return S3Store(settings_at(answering.url), read_timeout_s=0.2)


CALLS: dict[str, Callable[[Store], object]] = {
    "get": lambda store: store.get("key"),
    "put": lambda store: store.put("key", b"{}", Always()),
    "create": lambda store: store.put("key", b"{}", IfAbsent()),
    "replace": lambda store: store.put("key", b"{}", IfMatch("etag")),
    "delete": lambda store: store.delete("key"),
    "list": lambda store: store.list("inbox/"),
}

EVERY_CALL = [
    pytest.param(Answer(409, xml("ConditionalRequestConflict")), Busy, id="409 racing writers"),
    pytest.param(Answer(429, xml("TooManyRequests")), Busy, id="429"),
    pytest.param(Answer(500, xml("InternalError")), OutcomeUnknown, id="500"),
    pytest.param(Answer(503, xml("SlowDown")), OutcomeUnknown, id="503 slow down"),
    pytest.param(Answer(502, b"<html>bad gateway</html>"), OutcomeUnknown, id="502 of a gateway"),
    pytest.param(Answer(504), OutcomeUnknown, id="504 without a body"),
    pytest.param(Answer(400, xml("BadDigest")), Busy, id="400 damaged on the way"),
    pytest.param(Answer(400, xml("RequestTimeout")), OutcomeUnknown, id="400 request timeout"),
    pytest.param(Answer(400, xml("MalformedXML")), StoreDenied, id="400"),
    pytest.param(Answer(403, xml("AccessDenied")), StoreDenied, id="403"),
    pytest.param(Answer(404, xml("NoSuchBucket")), StoreDenied, id="404 no such bucket"),
    pytest.param(Answer(501, xml("NotImplemented")), StoreNotConditional, id="501"),
    pytest.param(Fate.LOSE_REQUEST, OutcomeUnknown, id="connection broken"),
    pytest.param(Answer(200, delay_s=0.3), OutcomeUnknown, id="too slow"),
]


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(("answer", "meaning"), EVERY_CALL)
def test_each_answer_has_one_meaning_and_is_not_tried_again(
    told: FlakyProxy, client: S3Store, call: str, answer: Answer | Fate, meaning: type[Exception]
) -> None:
    told.plan = always(answer)
    with pytest.raises(meaning):
        CALLS[call](client)
    assert len(told.seen) == 1


@pytest.mark.parametrize("call", ["create", "replace"])
def test_412_is_a_condition_that_did_not_hold(told: FlakyProxy, client: S3Store, call: str) -> None:
    told.plan = always(Answer(412, xml("PreconditionFailed")))
    with pytest.raises(PreconditionFailed):
        CALLS[call](client)


def test_404_to_a_replacing_put_is_a_condition_that_did_not_hold(
    told: FlakyProxy, client: S3Store
) -> None:
    told.plan = always(Answer(404, xml("NoSuchKey")))
    with pytest.raises(PreconditionFailed):
        CALLS["replace"](client)


def test_404_to_a_get_or_delete_is_a_key_that_is_not_there(
    told: FlakyProxy, client: S3Store
) -> None:
    told.plan = always(Answer(404, xml("NoSuchKey")))
    assert CALLS["get"](client) is None
    assert CALLS["delete"](client) is None


def test_404_to_a_listing_is_a_refusal(told: FlakyProxy, client: S3Store) -> None:
    told.plan = always(Answer(404, b"<html>no store here</html>"))
    with pytest.raises(StoreDenied):
        CALLS["list"](client)


def test_a_refusal_says_what_was_refused_and_why(told: FlakyProxy, client: S3Store) -> None:
    told.plan = always(Answer(403, xml("InvalidAccessKeyId")))
    with pytest.raises(StoreDenied, match=r"PutObject.*403 InvalidAccessKeyId: told") as caught:
        CALLS["put"](client)
    assert caught.value.hint is not None


def test_a_body_that_ends_early_is_no_body(told: FlakyProxy, client: S3Store) -> None:
    headers = {"etag": '"e"', "last-modified": "Tue, 03 Mar 2026 12:00:00 GMT"}
    told.plan = always(Answer(200, b"half", headers, cut=True))
    with pytest.raises(OutcomeUnknown):
        CALLS["get"](client)


def test_a_listing_that_is_no_xml_is_no_listing(told: FlakyProxy, client: S3Store) -> None:
    told.plan = always(Answer(200, b"welcome"))
    with pytest.raises(OutcomeUnknown):
        CALLS["list"](client)


@pytest.mark.parametrize("call", ["get", "put", "list"])
def test_a_reply_without_date_is_no_queues_reply(
    told: FlakyProxy, client: S3Store, call: str
) -> None:
    headers = {"etag": '"e"', "last-modified": "Tue, 03 Mar 2026 12:00:00 GMT"}
    body = b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>"
    told.plan = always(Answer(200, body, headers, dated=False))
    with pytest.raises(StoreNotConditional, match="Date"):
        CALLS[call](client)


def test_a_closed_port_is_an_unclear_answer() -> None:
    with FlakyProxy() as gone:
        settings = settings_at(gone.url)
    with pytest.raises(OutcomeUnknown):
        S3Store(settings).list("inbox/")


def test_missing_credentials_are_a_refusal(
    told: FlakyProxy, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    store = S3Store(Settings.model_validate({"endpoint_url": told.url}))
    with pytest.raises(StoreDenied, match="credentials"):
        store.list("inbox/")
    assert told.seen == []


def test_a_listing_of_a_busy_store_is_tried_again(told: FlakyProxy, client: S3Store) -> None:
    told.plan = first("GET", Answer(503), Answer(429), Answer(404, xml("NoSuchKey")))
    assert SafeStore(client, **QUICK).get("key") is None
    assert len(told.seen) == 3


def test_a_store_that_stays_unclear_is_unavailable(told: FlakyProxy, client: S3Store) -> None:
    told.plan = always(Answer(503, xml("SlowDown")))
    store = SafeStore(client, **QUICK)
    for call in (
        lambda: store.get("key"),
        lambda: store.list("inbox/"),
        lambda: store.delete("key"),
        lambda: store.write("key", b"", "text/plain"),
        lambda: store.create("key", b""),
        lambda: store.replace("key", b"", "etag"),
    ):
        with pytest.raises(StoreUnavailable, match=r"4 tries.*503 SlowDown"):
            call()


@pytest.mark.thorough
@pytest.mark.parametrize("call", ["get", "create", "delete"])
def test_a_store_that_hangs_is_an_error_within_twenty_seconds(call: str) -> None:
    calls: dict[str, Callable[[SafeStore], object]] = {
        "get": lambda store: store.get("key"),
        "create": lambda store: store.create("key", b"{}"),
        "delete": lambda store: store.delete("key"),
    }
    with FlakyProxy() as proxy:
        proxy.plan = always(Answer(200, delay_s=30))
        store = SafeStore(S3Store(settings_at(proxy.url)))
        began = time.monotonic()
        with pytest.raises(StoreUnavailable):
            calls[call](store)
        assert time.monotonic() - began < 20


def test_a_store_that_hides_its_clock_is_refused_at_start_up(
    told: FlakyProxy, client: S3Store
) -> None:
    body = b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>"
    told.plan = always(Answer(200, body, dated=False))
    with pytest.raises(StoreNotConditional, match="Date"):
        SafeStore(client).now()


# Lost replies, on the real store


@pytest.fixture(scope="module")
def shared(seaweed: SeaweedServer, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """One bucket for the tests here: each has a key of its own."""
    return fresh_bucket(seaweed, tmp_path_factory.mktemp("state"))


@pytest.fixture
def key() -> str:
    return f"leases/{uuid4().hex}.json"


@pytest.fixture(scope="module")
def between(seaweed: SeaweedServer) -> Iterator[FlakyProxy]:
    with FlakyProxy(seaweed.endpoint) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def through(between: FlakyProxy, shared: Settings) -> SafeStore:
    settings = shared.model_copy(update={"endpoint_url": between.url})
    return SafeStore(S3Store(settings), **QUICK)


@pytest.fixture
def flaky(between: FlakyProxy) -> FlakyProxy:
    between.plan = always(Fate.PASS)
    between.seen.clear()
    return between


@pytest.fixture
def safe(flaky: FlakyProxy, through: SafeStore) -> SafeStore:
    """The bucket as seen through the proxy."""
    return through


@pytest.fixture(scope="module")
def direct(shared: Settings) -> SafeStore:
    return open_store(shared)


def body_of(store: SafeStore, key: str) -> bytes | None:
    stored = store.get(key)
    return None if stored is None else stored.body


def test_a_create_whose_reply_was_lost_is_found_to_be_its_own(
    flaky: FlakyProxy, safe: SafeStore, direct: SafeStore, key: str
) -> None:
    flaky.plan = first("PUT", Fate.LOSE_REPLY)
    outcome = safe.create(key, b'{"nonce": "mine"}')
    assert isinstance(outcome, Won)
    assert not outcome.fresh
    assert body_of(direct, key) == b'{"nonce": "mine"}'
    assert [method for method, _ in flaky.seen] == ["PUT", "GET"]


def test_a_replace_whose_reply_was_lost_is_found_to_be_its_own(
    flaky: FlakyProxy, safe: SafeStore, direct: SafeStore, key: str
) -> None:
    created = direct.create(key, b"1")
    assert isinstance(created, Won)
    flaky.plan = first("PUT", Fate.LOSE_REPLY)
    outcome = safe.replace(key, b"2", created.etag)
    assert isinstance(outcome, Won)
    assert isinstance(direct.replace(key, b"3", outcome.etag), Won)


@pytest.mark.parametrize(
    "fate",
    [Fate.LOSE_REQUEST, Fate.TEAR, Answer(409, xml("ConditionalRequestConflict")), Answer(503)],
)
def test_a_write_that_never_was_is_sent_again(
    flaky: FlakyProxy, safe: SafeStore, direct: SafeStore, key: str, fate: Fate | Answer
) -> None:
    flaky.plan = first("PUT", fate)
    created = safe.create(key, b"1")
    flaky.plan = first("PUT", fate)
    assert isinstance(created, Won)
    assert isinstance(safe.replace(key, b"2", created.etag), Won)
    assert body_of(direct, key) == b"2"


def test_whoever_wrote_meanwhile_has_won(
    flaky: FlakyProxy, safe: SafeStore, direct: SafeStore, key: str
) -> None:
    def plan(method: str, path: str) -> Fate:
        if method == "PUT":
            direct.create(key, b"theirs")
            return Fate.LOSE_REQUEST
        return Fate.PASS

    flaky.plan = plan
    outcome = safe.create(key, b"mine")
    assert isinstance(outcome, Lost)
    assert outcome.current is not None
    assert outcome.current.body == b"theirs"


def test_a_delete_whose_reply_was_lost_is_done(
    flaky: FlakyProxy, safe: SafeStore, direct: SafeStore, key: str
) -> None:
    direct.create(key, b"1")
    flaky.plan = first("DELETE", Fate.LOSE_REPLY)
    safe.delete(key)
    assert body_of(direct, key) is None


@pytest.mark.parametrize("fate", [Fate.TEAR, Fate.CORRUPT])
def test_a_body_that_did_not_arrive_whole_is_invisible(
    flaky: FlakyProxy, safe: SafeStore, direct: SafeStore, key: str, fate: Fate
) -> None:
    direct.write(key, b"old" * 50_000, "image/png")
    flaky.plan = always(fate)
    other = key + ".new"
    for name in (key, other):
        with pytest.raises((OutcomeUnknown, Busy)):
            safe.raw.put(name, b"new" * 50_000, Always(), "image/png")
    assert body_of(direct, key) == b"old" * 50_000
    assert body_of(direct, other) is None


def test_a_body_that_was_changed_on_the_way_is_sent_again(
    flaky: FlakyProxy, safe: SafeStore, direct: SafeStore, key: str
) -> None:
    flaky.plan = first("PUT", Fate.CORRUPT)
    safe.write(key, b"whole", "image/png")
    assert body_of(direct, key) == b"whole"


# Races, access and crashes, on the real store


def race(racers: int, run: Callable[[int], object]) -> list[object]:
    """What each of them got, all having started together."""
    barrier = threading.Barrier(racers)

    def go(racer: int) -> object:
        barrier.wait()
        try:
            return run(racer)
        except (PreconditionFailed, Busy) as error:
            return error

    with ThreadPoolExecutor(racers) as pool:
        return list(pool.map(go, range(racers)))


def winners(outcomes: list[object]) -> list[int]:
    return [n for n, outcome in enumerate(outcomes) if not isinstance(outcome, Exception)]


def test_of_racing_creators_one_wins(direct: SafeStore) -> None:
    for turn in range(4):
        key = f"leases/created-{turn}.json"
        outcomes = race(3, lambda n, key=key: direct.raw.put(key, f"{n}".encode(), IfAbsent()))  # type: ignore[misc]
        (winner,) = winners(outcomes)
        assert body_of(direct, key) == f"{winner}".encode()


def test_of_racing_replacers_one_wins(direct: SafeStore) -> None:
    for turn in range(4):
        key = f"leases/replaced-{turn}.json"
        etag = direct.raw.put(key, b"0", IfAbsent()).etag
        body = [f"{turn}.{n}".encode() for n in range(3)]
        outcomes = race(
            3,
            lambda n, key=key, etag=etag, body=body: direct.raw.put(key, body[n], IfMatch(etag)),  # type: ignore[misc]
        )
        (winner,) = winners(outcomes)
        assert body_of(direct, key) == body[winner]


def test_a_counter_under_if_match_loses_no_count(direct: SafeStore, key: str) -> None:
    direct.create(key, b"0")

    def count_up(_: int) -> None:
        done = 0
        while done < 5:
            stored = direct.get(key)
            assert stored is not None
            body = f"{int(stored.body) + 1}".encode()
            try:
                direct.raw.put(key, body, IfMatch(stored.etag))
            except (PreconditionFailed, Busy):
                continue
            done += 1

    race(2, count_up)
    assert body_of(direct, key) == b"10"


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"secret_access_key": SecretStr("wrong")}, id="wrong secret"),
        pytest.param({"access_key_id": "nobody"}, id="unknown key"),
        pytest.param({"bucket": "no-such-bucket"}, id="no such bucket"),
    ],
)
def test_a_store_that_refuses_us_says_so_at_start_up(
    shared: Settings, changes: dict[str, Any]
) -> None:
    with pytest.raises(StoreDenied):
        open_checked_store(shared.model_copy(update=changes))


def test_a_good_bucket_passes_the_check_at_start_up(shared: Settings) -> None:
    assert open_checked_store(shared).list("checks/").entries == ()


def test_wrong_bytes_for_their_md5_are_refused(
    shared: Settings, direct: SafeStore, key: str
) -> None:
    client = connect(shared)
    with pytest.raises(client.exceptions.ClientError, match="BadDigest"):
        client.put_object(
            Bucket=shared.bucket, Key=key, Body=b"a", ContentMD5="1B2M2Y8AsgTpgAmY7PhCfg=="
        )
    assert body_of(direct, key) is None


def answers(store: SafeStore, key: str) -> bool:
    try:
        body_of(store, key)
    except (OutcomeUnknown, StoreUnavailable):
        return False
    return True


def test_every_acknowledged_write_outlives_a_kill_under_load(tmp_path: Path) -> None:
    server = SeaweedServer(tmp_path)
    server.start()
    try:
        store = open_store(fresh_bucket(server, tmp_path))
        bucket = store.raw._bucket  # type: ignore[attr-defined]
        acknowledged, numbers, killed = [], count(), threading.Event()

        def write() -> None:
            while not killed.is_set():
                key = f"inbox/{next(numbers)}.json"
                try:
                    store.raw.put(key, key.encode(), IfAbsent())
                except OutcomeUnknown:
                    return
                acknowledged.append(key)
                if len(acknowledged) > 300:
                    killed.set()

        with ThreadPoolExecutor(4) as pool:
            writers = [pool.submit(write) for _ in range(4)]
            killed.wait(30)
            server.kill()
        for writer in writers:
            writer.result()
        server.start()
        again = open_store(
            Settings.model_validate({**server.settings(bucket), "state_dir": tmp_path})
        )
        assert wait_until(lambda: answers(again, acknowledged[0]))  # its volumes come later
        lost = [key for key in acknowledged if body_of(again, key) != key.encode()]
        assert len(acknowledged) > 300
        assert lost == []
    finally:
        server.kill()


# URLs that others read with


def test_a_signed_url_reads_one_object_and_nothing_else(shared: Settings) -> None:
    store = open_store(shared)
    store.create("jobs/a b/out.png", b"picture", "image/png")
    assert isinstance(store.raw, Presigns)

    url = store.raw.presigned_url("jobs/a b/out.png", 60)

    answer = httpx.get(url)
    assert (answer.content, answer.headers["content-type"]) == (b"picture", "image/png")
    assert httpx.get(url.replace("out.png", "other.png")).status_code == 403
    assert httpx.put(url, content=b"other").status_code == 403
    assert "X-Amz-Expires=60" in url
