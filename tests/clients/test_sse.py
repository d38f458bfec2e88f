from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from ryla_client._sse import Parser, ServerEvent

STREAM = (
    ": hello\r\n\r\n"
    'id: 1\r\nevent: job\r\ndata: {"a":\r\ndata: 1}\r\n\r\n'
    "data:ü\n\n"
    "retry: 2500\nid: 2\nevent: end\ndata: \n\n"
    "event: unfinished\ndata: x\n"
).encode()
EVENTS = [
    ServerEvent("1", "job", '{"a":\n1}'),
    ServerEvent("1", "message", "ü"),
    ServerEvent("2", "end", ""),
]


def read(parser: Parser, *chunks: bytes) -> list[ServerEvent]:
    return [event for chunk in chunks for event in parser.feed(chunk)]


@given(st.lists(st.integers(0, len(STREAM))))
def test_events_are_the_same_wherever_the_stream_is_cut(cuts: list[int]) -> None:
    ends = [0, *sorted(cuts), len(STREAM)]
    parser = Parser()

    assert read(parser, *(STREAM[a:b] for a, b in pairwise(ends))) == EVENTS
    assert (parser.last_id, parser.retry) == ("2", 2.5)


def test_a_broken_off_event_is_forgotten_and_the_last_id_kept() -> None:
    parser = Parser()
    assert len(read(parser, b"id: 6\ndata: whole\n\nid: 7\ndata: half\xc3")) == 1

    parser.reconnect()

    assert parser.last_id == "6"
    assert read(parser, b"data: new\n\n") == [ServerEvent("6", "message", "new")]


def test_an_event_without_data_is_none() -> None:
    assert read(Parser(), b"event: x\n\ndata: y\n\n") == [ServerEvent(None, "message", "y")]
