"""The contract of every event sink, and what is particular to PostHog's."""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from config.errors import InvalidSetting
from events.file_sink import FileSink, read_events
from events.posthog_sink import PostHogSink, batches
from events.sink import EventSink, MemorySink, NotDelivered, retry_after_s
from events.stored_event import StoredEvent
from tests.events.builders import completed, scores
from tests.support.posthog_receiver import Answer, Batch, PostHogReceiver

DOWN = [
    Answer(status=500, body=b"oops"),
    Answer(status=503, body=b"[]"),
    Answer(status=429, body=b'{"detail": "slow down"}', headers={"Retry-After": "7"}),
    Answer(status=401, body=b'{"detail": "wrong key"}'),
    Answer(status=404),
    Answer(status=301, headers={"Location": "/elsewhere/"}),
    Answer(status=200, body=b"<html>Sign in</html>", headers={"Content-Type": "text/html"}),
    Answer(status=200, body=b""),
    Answer(status=200, body=b'{"ok": true}'),
    Answer(status=200, body=b'{"status": "error"}'),
    Answer(status=200, body=b'["status"]'),
    Answer(status=200, body=b'{"status": 1, "quota_limited": ["events"]}'),
    Answer(status=400, body=b" <html>http was sent to an https port</html>"),
    Answer(hangs=True),
    Answer(hangs_up=True),
]


@dataclass
class Case:
    sink: EventSink
    arrived: Callable[[], list[StoredEvent]]


@pytest.fixture(params=["memory", "file", "posthog", "posthog-gzip"])
def case(
    request: pytest.FixtureRequest, tmp_path: Path, receiver: PostHogReceiver
) -> Iterator[Case]:
    kind: str = request.param
    if kind == "memory":
        memory = MemorySink()
        yield Case(memory, lambda: memory.events)
    elif kind == "file":
        path = tmp_path / "deep" / "events.jsonl"
        yield Case(FileSink(path), lambda: list(read_events(path)))
    else:
        sink = PostHogSink("phc_test", receiver.url, timeout_s=5, gzip=kind.endswith("gzip"))
        yield Case(
            sink, lambda: [StoredEvent.model_validate(event) for event in receiver.accepted()]
        )


def test_events_arrive_complete_and_in_order(case: Case) -> None:
    events = [completed("j1"), *scores("j1", 10), completed("jö2")]
    assert list(case.sink.deliver(events)) == []
    assert case.arrived() == events


def test_a_replay_adds_nothing(case: Case) -> None:
    case.sink.deliver([completed("j1"), completed("j2")])
    case.sink.deliver([completed("j2"), completed("j1"), completed("j3")])
    assert case.arrived() == [completed(one) for one in ("j1", "j2", "j3")]


def test_nothing_to_deliver_is_delivered(case: Case) -> None:
    case.sink.deliver([])
    assert case.arrived() == []


def test_more_events_than_one_batch_holds_all_arrive(case: Case) -> None:
    events = scores("j1", 250)
    case.sink.deliver(events)
    assert case.arrived() == events


def test_deliveries_from_several_threads_all_arrive(case: Case) -> None:
    def deliver(name: str) -> None:
        for part in range(5):
            case.sink.deliver(scores(f"{name}-{part}", 3))

    threads = [Thread(target=deliver, args=(f"t{number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(case.arrived()) == 4 * 5 * 3


def sink_of(receiver: PostHogReceiver, timeout_s: float = 5.0) -> PostHogSink:
    return PostHogSink("phc_test", receiver.url, timeout_s=timeout_s)


def test_ten_scores_of_one_job_arrive_as_ten_events(receiver: PostHogReceiver) -> None:
    sink_of(receiver).deliver(scores("j1", 10))
    assert len(receiver.accepted()) == 10
    assert {event["event"] for event in receiver.accepted()} == {
        "modal_instantid_face_consistency_measured"
    }


def test_posthog_gets_one_post_to_its_batch_endpoint(receiver: PostHogReceiver) -> None:
    sink_of(receiver).deliver([completed("j1")])
    (request,) = receiver.received
    body = json.loads(request.body)
    assert request.path == "/batch/"
    assert body["api_key"] == "phc_test"
    assert body["historical_migration"] is False
    assert set(body["batch"][0]) == {"event", "uuid", "distinct_id", "timestamp", "properties"}


@pytest.mark.parametrize("gzip", [False, True])
def test_a_replay_is_the_same_bytes_but_for_the_sending_time(
    receiver: PostHogReceiver, gzip: bool
) -> None:
    events = [completed("j1"), *scores("j1", 3)]
    PostHogSink("phc_test", receiver.url, gzip=gzip).deliver(events)
    kept = [json.dumps(json.loads(event.model_dump_json()), sort_keys=True) for event in events]
    replayed = [StoredEvent.model_validate_json(one) for one in kept]
    PostHogSink("phc_test", receiver.url, gzip=gzip).deliver(replayed)

    first, second = (request.body for request in receiver.received)
    sent_at = rb'"sent_at": "[^"]+"'
    assert re.search(sent_at, first)
    assert first != second
    assert re.sub(sent_at, b"", first) == re.sub(sent_at, b"", second)


@pytest.mark.parametrize("answer", DOWN, ids=lambda a: f"{a.status}{a.hangs}{a.hangs_up}{a.body!r}")
def test_without_the_servers_200_nothing_counts_as_delivered(
    receiver: PostHogReceiver, answer: Answer
) -> None:
    receiver.answer = answer
    with pytest.raises(NotDelivered) as caught:
        sink_of(receiver, timeout_s=0.2).deliver([completed("j1")])
    assert caught.value.tried
    answered = not (answer.hangs or answer.hangs_up)
    assert caught.value.status == (answer.status if answered else None)
    assert not answered or str(answer.status) in str(caught.value)
    assert len(receiver.received) == 1, "the sender's pauses decide on another try, not the sink"


@pytest.mark.parametrize(
    "body",
    [
        b'{"status": 1}',
        b'{"status": "Ok", "quota_limited": []}',
        b'{"status": 1, "quota_limited": null}',
        b'{"status": 1, "quota_limited": ["recordings"]}',
    ],
)
def test_both_of_posthogs_ways_to_say_yes_are_known(receiver: PostHogReceiver, body: bytes) -> None:
    receiver.answer = Answer(body=body)
    assert sink_of(receiver).deliver([completed("j1")]) == []


def test_a_page_in_place_of_an_answer_is_named_as_one(receiver: PostHogReceiver) -> None:
    page = {"Content-Type": "text/html; charset=utf-8"}
    receiver.answer = Answer(body=b"<html>Sign in</html>", headers=page)
    with pytest.raises(NotDelivered, match=r"200 \(text/html\): <html>Sign in"):
        sink_of(receiver).deliver([completed("j1")])


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("7", 7.0),
        ("9" * 400, 999_999_999.0),
        ("Sun, 01 Mar 2026 12:31:00 GMT", 60.0),
        ("soon", None),
        ("Sun, 01 Mar 2026 12:31:00", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(header: str | None, seconds: float | None) -> None:
    now = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)
    assert retry_after_s(header, now) == seconds


def test_a_refused_connection_is_not_delivered_and_later_it_is(receiver: PostHogReceiver) -> None:
    sink = sink_of(receiver)
    receiver.stop()
    with pytest.raises(NotDelivered, match="ConnectionError"):
        sink.deliver([completed("j1")])
    receiver.start()
    sink.deliver([completed("j1")])
    assert len(receiver.accepted()) == 1


def test_the_servers_wish_for_a_pause_is_passed_on(receiver: PostHogReceiver) -> None:
    receiver.answer = Answer(status=429, headers={"Retry-After": "7"})
    with pytest.raises(NotDelivered) as caught:
        sink_of(receiver).deliver([completed("j1")])
    assert caught.value.retry_after_s == 7.0


def refusing(*bad: StoredEvent, status: int = 400) -> Callable[[Batch], Answer]:
    """As PostHog does: one malformed event gets its whole batch refused."""
    uuids = {event.uuid for event in bad}

    def answer(batch: Batch) -> Answer:
        found = any(event["uuid"] in uuids for event in batch)
        return Answer(status=status, body=b'{"detail": "bad"}') if found else Answer()

    return answer


@pytest.mark.parametrize("status", [400, 413])
def test_one_bad_event_does_not_keep_the_rest_of_its_batch_away(
    receiver: PostHogReceiver, status: int
) -> None:
    events = scores("j1", 100)
    receiver.answer = refusing(events[37], status=status)
    assert sink_of(receiver).deliver(events) == [events[37]]
    arrived = {event["uuid"] for event in receiver.accepted()}
    assert arrived == {event.uuid for event in events} - {events[37].uuid}
    assert len(receiver.received) <= 15


def test_a_server_that_fails_while_a_batch_is_halved_means_all_of_it_again(
    receiver: PostHogReceiver,
) -> None:
    events = scores("j1", 4)
    answers = iter([Answer(status=400), Answer(), Answer(status=500)])
    receiver.answer = lambda _: next(answers)
    with pytest.raises(NotDelivered):
        sink_of(receiver).deliver(events)
    receiver.answer = Answer()
    sink_of(receiver).deliver(events)
    assert {event["uuid"] for event in receiver.accepted()} == {event.uuid for event in events}


def heavy(number: int, size: int) -> StoredEvent:
    properties: dict[str, Any] = {"text": "x" * size}
    return completed(f"j{number}").model_copy(update={"properties": properties})


def sizes(events: Sequence[StoredEvent]) -> list[int]:
    return [len(batch) for batch in batches(events)]


def test_batches_stop_at_a_hundred_events_and_at_five_mebibytes() -> None:
    assert sizes([completed("j1")] * 250) == [100, 100, 50]
    assert sizes([heavy(number, 1024 * 1024) for number in range(9)]) == [4, 4, 1]
    assert sizes([heavy(1, 6 * 1024 * 1024), completed("j2")]) == [1, 1]
    assert sizes([]) == []


@pytest.mark.parametrize("key", ["", "  "])
def test_a_blank_key_is_no_key(key: str) -> None:
    with pytest.raises(InvalidSetting):
        PostHogSink(key)
