"""What ComfyUI's HTTP answers mean, the recorded shapes and nonsense alike. Pure."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Final, Literal

from config.errors import (
    ComfyDiskFull,
    ComfyError,
    ComfyProtocolError,
    GraphRejected,
    NodeFailed,
    NodeMissing,
    OutOfMemory,
    PromptInterrupted,
    TextTooLarge,
)
from config.nearest import nearest
from handlers.comfyui import frames
from workflows.missing_nodes import why_missing

Failure = frames.ExecutionError | frames.ExecutionInterrupted

# In the message of ComfyUI 0.8; since 0.33 the class stands in extra_info.
_UNKNOWN_CLASS: Final = re.compile(r"node (?P<cls>.+) does not exist")
_NO_MEMORY: Final = re.compile(r"out of memory|allocation on device|can't allocate memory", re.I)
_NO_SPACE: Final = re.compile(r"no space left on device|disk quota exceeded", re.I)
_HINTS: Final = {
    "required_input_missing": "Give this input a value or a link.",
    "value_smaller_than_min": "Stay within the node's range.",
    "value_bigger_than_max": "Stay within the node's range.",
    "invalid_input_type": "Give a value of the input's type.",
    "return_type_mismatch": "Link an output of the type that the input takes.",
    "custom_validation_failed": "Upload the file first and use the name that the upload returned.",
    "exception_during_inner_validation": (
        "A link names a node or an output that is not there, or a node has no inputs."
    ),
    "dependency_cycle": "Break the cycle: no node may depend on itself.",
    "invalid_prompt_id": "Give a UUID as lower-case hex digits with hyphens, or none at all.",
    "prompt_no_outputs": "Add a node that saves, such as SaveImage.",
    "no_prompt": "Add a node that saves, such as SaveImage.",
}


@dataclass(frozen=True)
class OutputRef:
    """Where ComfyUI says that a node saved a file."""

    node: str
    filename: str
    subfolder: str
    """Of the output folder; may be empty."""
    pixels: "PixelsRef | None" = None
    """Set where the file is bare pixels."""


@dataclass(frozen=True)
class PixelsRef:
    """What our own node says of the pixels that it saved: RGB, 8 bits, row by row."""

    width: int
    height: int
    sha256: str
    """Of the file, in hex."""
    sampled: Mapping[str, int] = field(default_factory=dict)
    """Steps since the picture before it, by how they were computed."""


@dataclass(frozen=True)
class HistoryEntry:
    """A finished prompt."""

    success: bool
    failure: Failure | None
    """Why it did not succeed, where that is told."""
    outputs: Sequence[OutputRef]


def rejection(body: Mapping[str, Any], classes: Mapping[str, str]) -> GraphRejected:
    """The error for an answer to POST /prompt that refuses the graph, or only a part of it."""
    problem = body.get("error")
    problem = problem if isinstance(problem, dict) else {}
    message, kind = _text(problem.get("message")), _text(problem.get("type"))
    if missing := _missing_class(problem):
        return NodeMissing(
            message,
            field=_text(problem.get("details")).removeprefix("Node ID '#").rstrip("'"),
            value=missing,
            hint=why_missing(missing),
        )
    node_errors = body.get("node_errors")
    if isinstance(node_errors, dict) and node_errors:
        return _node_rejection(node_errors, classes)
    hint = _HINTS.get(kind)
    if kind == "prompt_outputs_failed_validation":
        hint = "ComfyUI gives no detail; a graph whose links form a cycle is refused like this."
    said = ": ".join(text for text in (message, _text(problem.get("details"))) if text)
    return GraphRejected(said or "ComfyUI refused the graph without saying why", hint=hint)


def _missing_class(problem: Mapping[str, Any]) -> str | None:
    """The node class that the server has not. None for any other problem, also a node that names
    none."""
    if problem.get("type") == "missing_node_type":
        extra = problem.get("extra_info")
        return _text(extra.get("class_type")) or None if isinstance(extra, dict) else None
    found = _UNKNOWN_CLASS.search(_text(problem.get("message")))
    return found["cls"] if found else None


def _node_rejection(node_errors: Mapping[str, Any], classes: Mapping[str, str]) -> GraphRejected:
    """The first error is told in full: its node, input, value and hint."""
    node, entry = next(iter(node_errors.items()))
    entry = entry if isinstance(entry, dict) else {}
    errors = entry.get("errors")
    error = errors[0] if isinstance(errors, list) and errors else {}
    error = error if isinstance(error, dict) else {}
    extra = error.get("extra_info")
    extra = extra if isinstance(extra, dict) else {}
    name, value = _text(extra.get("input_name")), extra.get("received_value")
    node_class = _text(entry.get("class_type")) or classes.get(node, "?")
    others = f", and {len(node_errors) - 1} more nodes" if len(node_errors) > 1 else ""
    details = _text(error.get("details"))
    return GraphRejected(
        f"{node_class} (node {node}): {_text(error.get('message')) or 'invalid'}"
        + (f": {details}" if details else "")
        + others,
        field=f"{node}.{name}" if name else node,
        value=value,
        hint=_choices_hint(extra, value) or _HINTS.get(_text(error.get("type"))),
    )


def _choices_hint(extra: Mapping[str, Any], value: object) -> str | None:
    """The nearest valid name, where ComfyUI lists them: long lists it leaves out."""
    config = extra.get("input_config")
    kind, *options = config if isinstance(config, list) and config else [None]
    choices = kind
    if kind == "COMBO" and options and isinstance(options[0], dict):
        choices = options[0].get("options")
    if not isinstance(choices, list) or "received_value" not in extra:
        return None
    names = [choice for choice in choices if isinstance(choice, str)]
    if close := nearest(str(value), names):
        return f"Did you mean {close!r}?"
    return "It has: " + (", ".join(names[:10]) or "none")


def place_in_queue(body: Mapping[str, Any], prompt_id: str) -> Literal["running", "pending"] | None:
    """Where /queue has the prompt. Raises ComfyProtocolError."""
    running, pending = body.get("queue_running"), body.get("queue_pending")
    if not isinstance(running, list) or not isinstance(pending, list):
        raise ComfyProtocolError("/queue has no lists of running and pending prompts")
    if _has_prompt(running, prompt_id):
        return "running"
    return "pending" if _has_prompt(pending, prompt_id) else None


def _has_prompt(items: Sequence[Any], prompt_id: str) -> bool:
    return any(isinstance(item, list) and len(item) > 1 and item[1] == prompt_id for item in items)


def history_entry(body: Mapping[str, Any], prompt_id: str) -> HistoryEntry | None:
    """The prompt's entry in /history; None while it is unknown. Raises ComfyProtocolError."""
    if prompt_id not in body:
        return None
    entry = body[prompt_id]
    status = entry.get("status") if isinstance(entry, dict) else None
    if not isinstance(status, dict) or not isinstance(entry.get("outputs"), dict):
        raise ComfyProtocolError(f"/history has no status or outputs for {prompt_id}")
    events = list(_messages(status.get("messages")))
    return HistoryEntry(
        success=status.get("status_str") == "success",
        failure=next((event for event in events if isinstance(event, Failure)), None),
        outputs=tuple(output_refs(entry["outputs"])),
    )


def _messages(messages: object) -> Sequence[frames.Frame]:
    pairs = messages if isinstance(messages, list) else []
    return [
        frames.parse_event(pair[0], pair[1])
        for pair in pairs
        if isinstance(pair, list) and len(pair) == 2 and isinstance(pair[1], dict)
    ]


def output_refs(outputs: Mapping[str, Any]) -> Sequence[OutputRef]:
    """Every saved file, under whatever name the node lists it (videos stand under `images`).

    Files of type `temp` are previews that ComfyUI clears: not outputs.
    """
    return [
        OutputRef(node, item["filename"], _text(item.get("subfolder")), _pixels(item))
        for node, shown in outputs.items()
        if isinstance(shown, dict)
        for items in shown.values()
        if isinstance(items, list)
        for item in items
        if isinstance(item, dict)
        and isinstance(item.get("filename"), str)
        and item.get("type") == "output"
    ]


def _pixels(item: Mapping[str, Any]) -> PixelsRef | None:
    told = item.get("pixels")
    if not isinstance(told, dict):
        return None
    width, height, digest = told.get("width"), told.get("height"), told.get("sha256")
    if not (isinstance(width, int) and isinstance(height, int) and isinstance(digest, str)):
        return None
    return PixelsRef(width, height, digest, _counts(item.get("sampled")))


def _counts(told: object) -> Mapping[str, int]:
    given = told.items() if isinstance(told, dict) else ()
    return {str(name): count for name, count in given if isinstance(count, int)}


def failure_error(failure: Failure) -> ComfyError:
    """The error of the tree for how a prompt failed, with the node as its `field`."""
    where = f"{failure.node_class} (node {failure.node})"
    if isinstance(failure, frames.ExecutionInterrupted):
        return PromptInterrupted(f"Interrupted in {where}", field=failure.node)
    name, text = failure.exception_type, failure.exception_message.strip()
    return _kind_of(failure, text)(f"{where}: {name}: {text}", field=failure.node, value=name)


def _kind_of(failure: frames.ExecutionError, text: str) -> type[ComfyError]:
    if _NO_SPACE.search(text):
        return ComfyDiskFull
    if not _is_out_of_memory(failure.exception_type, text):
        return NodeFailed
    return TextTooLarge if fnmatchcase(failure.node_class, "*TextEncode*") else OutOfMemory


def _is_out_of_memory(name: str, text: str) -> bool:
    return name.endswith(("OutOfMemoryError", "MemoryError")) or bool(_NO_MEMORY.search(text))


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
