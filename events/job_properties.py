"""What events tell of a job, read off its input and its error."""

from collections.abc import Mapping
from typing import Any

from config.errors import (
    AttemptsExhausted,
    BadManifest,
    ComfyTimeout,
    DeadlineExceeded,
    GraphRejected,
    InvalidInput,
    LoraError,
    MissingModel,
    NoFace,
    Refused,
    RylaError,
    TextTooLarge,
)
from events.catalogue import ErrorType, RequestProperties


def request_properties(kind: str | None, given: Mapping[str, Any]) -> RequestProperties:
    """What can be told of a manifest's input, valid or not: what is no number counts as absent."""
    prompt, nsfw, image_format = given.get("prompt"), given.get("nsfw"), given.get("output_format")
    return RequestProperties(
        workflow_type=kind,
        prompt_length=len(prompt) if isinstance(prompt, str) else None,
        has_seed=given.get("seed") is not None,
        nsfw=nsfw if isinstance(nsfw, bool) else None,
        output_format=image_format if isinstance(image_format, str) else None,
        width=_whole(given.get("width")),
        height=_whole(given.get("height")),
        steps=_whole(given.get("steps")),
        num_images=_whole(given.get("num_images")),
        cfg=_number(given.get("cfg")),
        guidance=_number(given.get("guidance")),
        step_cache=_number(given.get("step_cache")),
    )


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if abs(value) < 2**53 else None


def _whole(value: object) -> int | None:
    number = _number(value)
    return int(number) if number is not None and number.is_integer() else None


def _codes(*classes: type[RylaError]) -> frozenset[str]:
    """The codes of these classes and of all below them."""
    return frozenset(code for one in classes for code in (one.code, *_codes(*one.__subclasses__())))


_TIMEOUTS = _codes(ComfyTimeout, DeadlineExceeded)
_WORKFLOW_ERRORS = _codes(
    BadManifest, Refused, GraphRejected, TextTooLarge, InvalidInput, LoraError, NoFace
) - _codes(AttemptsExhausted, MissingModel, DeadlineExceeded)


def error_type(error_code: str | None) -> ErrorType:
    """A code of the error tree in the three classes that analysts count by.

    A workflow error is the request's fault, a model error that of what ran it.
    """
    if error_code in _TIMEOUTS:
        return "timeout"
    return "workflow_error" if error_code in _WORKFLOW_ERRORS else "model_error"
