import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.errors import ComfyProtocolError
from handlers.comfyui import frames
from tests.support.recordings import NAMES, recording


def text(kind: str, **data: Any) -> str:
    return json.dumps({"type": kind, "data": data})


@pytest.mark.parametrize("name", NAMES)
def test_every_recorded_frame_is_read(name: str) -> None:
    read = [frames.parse(message) for _, message in recording(name).frames]
    unknown = {frame.kind for frame in read if isinstance(frame, frames.Unknown)}
    assert unknown <= {"progress_state", "feature_flags"}
    assert read[-1] == frames.Executing(None, recording(name).prompt_id)


def test_each_type_becomes_its_own_value() -> None:
    assert frames.parse(text("execution_start", prompt_id="p")) == frames.ExecutionStart("p")
    assert frames.parse(text("executing", node="9", prompt_id="p")) == frames.Executing("9", "p")
    assert frames.parse(text("executing", node="9")) == frames.Executing("9", None)
    assert frames.parse(
        text("progress", node="9", prompt_id="p", value=1, max=4)
    ) == frames.Progress("9", "p", 1.0, 4.0)
    assert frames.parse(text("execution_cached", prompt_id="p", nodes=["1"])) == (
        frames.ExecutionCached("p", ("1",))
    )


def test_an_error_frame_tells_node_class_and_exception() -> None:
    error = next(
        frame
        for _, message in recording("runtime_error").frames
        if isinstance(frame := frames.parse(message), frames.ExecutionError)
    )
    assert (error.node, error.node_class) == ("7", "LoraLoaderModelOnly")
    assert error.exception_type.endswith("SafetensorError")
    assert "invalid JSON in header" in error.exception_message


def test_a_png_of_save_image_websocket_and_a_jpeg_preview_are_told_apart() -> None:
    assert frames.parse(b"\0\0\0\1\0\0\0\2\x89PNG") == frames.Binary(b"\x89PNG", is_png=True)
    assert frames.parse(b"\0\0\0\1\0\0\0\1\xff\xd8") == frames.Binary(b"\xff\xd8", is_png=False)


def test_a_preview_with_metadata_gives_the_image_alone() -> None:
    message = b"\0\0\0\4\0\0\0\2{}\xff\xd8"
    assert frames.parse(message) == frames.Binary(b"\xff\xd8", is_png=False)


def test_progress_state_is_not_even_decoded() -> None:
    assert frames.parse('{"type": "progress_state", "data": {{{') == (
        frames.Unknown("progress_state")
    )


def test_types_that_a_node_pack_made_up_are_unknown() -> None:
    assert frames.parse(text("crystools.monitor", cpu=3)) == frames.Unknown("crystools.monitor")
    assert frames.parse(b"\0\0\0\x63\0\0\0\0...") == frames.Unknown("binary 99")


@pytest.mark.parametrize(
    "message",
    [
        "",
        "nonsense",
        "[]",
        "3",
        "{}",
        '{"type": 3}',
        "[" * 100_000,
        text("executing", node=9, prompt_id="p"),
        text("execution_start"),
        text("execution_cached", prompt_id="p", nodes="1"),
        text("execution_cached", prompt_id="p", nodes=[1]),
        text("progress", node="9", value="1", max=4),
        '{"type": "progress", "data": {"node": "9", "value": NaN, "max": 4}}',
        text("progress", node="9", value=10**400, max=4),
        b"",
        b"\0\0\0\1",
        b"\0\0\0\4\xff\xff\xff\xff{}",
    ],
)
def test_nonsense_is_a_protocol_error(message: str | bytes) -> None:
    with pytest.raises(ComfyProtocolError):
        frames.parse(message)


_text = st.text("a9{é\0", max_size=3)
_scalar = st.none() | st.booleans() | st.sampled_from([0, -1, 10**400]) | st.floats() | _text
_json = _scalar | st.lists(_scalar, max_size=3) | st.dictionaries(_text, _scalar, max_size=3)
_fields = ("prompt_id", "node", "nodes", "value", "max", "status", "output", "node_id")
_kinds = ("status", "executing", "progress", "executed", "execution_cached", "execution_error")


@given(st.sampled_from(_kinds), st.dictionaries(st.sampled_from(_fields), _json))
def test_any_data_is_read_or_refused(kind: str, data: dict[str, Any]) -> None:
    with suppress(ComfyProtocolError):
        frames.parse(json.dumps({"type": kind, "data": data}))


@given(st.binary(max_size=40))
def test_any_bytes_are_read_or_refused(message: bytes) -> None:
    with suppress(ComfyProtocolError):
        frames.parse(message)
