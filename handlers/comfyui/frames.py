"""ComfyUI's socket frames as typed values. Pure.

Frames come from third-party code, so every field is checked.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from config.errors import ComfyProtocolError

_PREVIEW_IMAGE: Final = 1
_PREVIEW_WITH_METADATA: Final = 4
_JPEG: Final = 1
_PNG: Final = 2


@dataclass(frozen=True, slots=True)
class Status:
    """Goes to every socket, whoever's prompt it is about."""

    queue_remaining: int | None
    """Prompts that run or wait there; None where ComfyUI does not say."""


@dataclass(frozen=True, slots=True)
class ExecutionStart:
    prompt_id: str


@dataclass(frozen=True, slots=True)
class ExecutionCached:
    prompt_id: str
    nodes: tuple[str, ...]
    """Nodes that will not run."""


@dataclass(frozen=True, slots=True)
class Executing:
    node: str | None
    """None: the prompt has ended, well or not."""
    prompt_id: str | None
    """None in the frame that greets a reconnected socket."""


@dataclass(frozen=True, slots=True)
class Progress:
    """A step of the running node, or of a part of it."""

    node: str | None
    prompt_id: str | None
    value: float
    """Steps done, of `maximum`; neither is checked against the other."""
    maximum: float


@dataclass(frozen=True, slots=True)
class Executed:
    prompt_id: str
    node: str
    outputs: Mapping[str, Any] = field(hash=False)
    """Name → list of files or values, as /history shows them; empty for a node that shows
    nothing."""


@dataclass(frozen=True, slots=True)
class ExecutionError:
    prompt_id: str
    node: str
    """Its id; empty where ComfyUI names none."""
    node_class: str
    exception_type: str
    exception_message: str


@dataclass(frozen=True, slots=True)
class ExecutionInterrupted:
    prompt_id: str
    node: str
    node_class: str


@dataclass(frozen=True, slots=True)
class ExecutionSuccess:
    """Comes before the history entry exists: not the end."""

    prompt_id: str


@dataclass(frozen=True, slots=True)
class Binary:
    """An image: a live preview, or what SaveImageWebsocket saves."""

    image: bytes
    is_png: bool


@dataclass(frozen=True, slots=True)
class Unknown:
    """A type this client has no use for: ComfyUI's own, or one that a node pack made up."""

    kind: str


Frame = (
    Status
    | ExecutionStart
    | ExecutionCached
    | Executing
    | Progress
    | Executed
    | ExecutionError
    | ExecutionInterrupted
    | ExecutionSuccess
    | Binary
    | Unknown
)

_PROGRESS_STATE: Final = Unknown("progress_state")


def parse(message: str | bytes) -> Frame:
    """Raises ComfyProtocolError when the frame is malformed; unknown types are Unknown."""
    return _parse_binary(message) if isinstance(message, bytes) else _parse_text(message)


def parse_event(kind: str, data: Mapping[str, Any]) -> Frame:
    """One event, from a frame or from the message list of a history entry. Raises
    ComfyProtocolError when a field is missing or of another type."""
    fields = _Fields(kind, data)
    match kind:
        case "status":
            return Status(_queue_remaining(data))
        case "execution_start":
            return ExecutionStart(fields.text("prompt_id"))
        case "execution_cached":
            return ExecutionCached(fields.text("prompt_id"), fields.texts("nodes"))
        case "executing":
            return Executing(fields.optional("node"), fields.optional("prompt_id"))
        case "progress":
            return Progress(
                fields.optional("node"),
                fields.optional("prompt_id"),
                fields.number("value"),
                fields.number("max"),
            )
        case "executed":
            output = data.get("output")  # null when a node has nothing to show
            return Executed(
                fields.text("prompt_id"),
                fields.text("node"),
                output if isinstance(output, dict) else {},
            )
        case "execution_error":
            return ExecutionError(
                fields.text("prompt_id"),
                fields.optional("node_id") or "",
                fields.optional("node_type") or "",
                fields.optional("exception_type") or "",
                fields.optional("exception_message") or "",
            )
        case "execution_interrupted":
            return ExecutionInterrupted(
                fields.text("prompt_id"),
                fields.optional("node_id") or "",
                fields.optional("node_type") or "",
            )
        case "execution_success":
            return ExecutionSuccess(fields.text("prompt_id"))
        case _:
            return Unknown(kind)


def _parse_text(text: str) -> Frame:
    # Carries every node touched so far with each step: it is the bulk of the traffic, and
    # `executing` and `progress` say the same. Skipped without decoding.
    if '"progress_state"' in text[:40]:
        return _PROGRESS_STATE
    try:
        frame = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ComfyProtocolError(f"A socket frame is not JSON: {text[:80]!r}") from error
    if not isinstance(frame, dict) or not isinstance(frame.get("type"), str):
        raise ComfyProtocolError(f"A socket frame has no type: {text[:80]!r}")
    data = frame.get("data")
    return parse_event(frame["type"], data if isinstance(data, dict) else {})


def _parse_binary(message: bytes) -> Frame:
    if len(message) < 8:
        raise ComfyProtocolError(f"A binary frame of {len(message)} bytes has no header")
    event, detail = int.from_bytes(message[:4], "big"), int.from_bytes(message[4:8], "big")
    if event == _PREVIEW_IMAGE and detail in (_JPEG, _PNG):
        return Binary(message[8:], is_png=detail == _PNG)
    if event == _PREVIEW_WITH_METADATA:
        if detail > len(message) - 8:
            raise ComfyProtocolError(f"A preview claims {detail} bytes of metadata it has not")
        image = message[8 + detail :]
        return Binary(image, is_png=image.startswith(b"\x89PNG"))
    return Unknown(f"binary {event}")


def _queue_remaining(data: Mapping[str, Any]) -> int | None:
    status = data.get("status")
    info = status.get("exec_info") if isinstance(status, dict) else None
    remaining = info.get("queue_remaining") if isinstance(info, dict) else None
    return remaining if isinstance(remaining, int) else None


class _Fields:
    """Typed reads from a frame's data."""

    def __init__(self, kind: str, data: Mapping[str, Any]) -> None:
        self._kind = kind
        self._data = data

    def _wrong(self, name: str) -> ComfyProtocolError:
        shown = repr(self._data.get(name))[:80]
        return ComfyProtocolError(f"A frame {self._kind!r} has {name}={shown}")

    def text(self, name: str) -> str:
        value = self._data.get(name)
        if not isinstance(value, str):
            raise self._wrong(name)
        return value

    def optional(self, name: str) -> str | None:
        return None if self._data.get(name) is None else self.text(name)

    def texts(self, name: str) -> tuple[str, ...]:
        value = self._data.get(name)
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise self._wrong(name)
        return tuple(value)

    def number(self, name: str) -> float:
        value = self._data.get(name)
        try:
            number = float(value) if isinstance(value, int | float) else math.nan
        except OverflowError:
            number = math.inf
        if not math.isfinite(number):
            raise self._wrong(name)
        return number
