"""What an error of the tree (config/errors.py) becomes outside: in a result, over HTTP."""

from typing import Any

from pydantic import BaseModel, ConfigDict

from config.errors import InternalError, RylaError
from pipeline.contract.keys import clip


class ErrorInfo(BaseModel):
    """An error as it stands in results, leases and rejected/ entries."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    code: str
    message: str
    field: str | None = None
    value: str | None = None
    hint: str | None = None
    retryable: bool = False
    log_tail: tuple[str, ...] = ()


def error_info(error: RylaError) -> ErrorInfo:
    return ErrorInfo(
        code=error.code,
        message=clip(error.message, 2000),
        field=error.field,
        value=None if error.value is None else clip(error.value),
        hint=error.hint,
        retryable=error.retryable,
        log_tail=tuple(clip(line, 500) for line in error.log_tail[-20:]),
    )


def unforeseen(error: Exception) -> InternalError:
    """The tree's error for one that is not of the tree, for the process edges that catch it."""
    return InternalError(f"{type(error).__name__}: {clip(str(error), 500)}")


def problem_details(error: RylaError, instance: str | None = None) -> dict[str, Any]:
    """RFC 9457 problem details with our members beside the standard ones."""
    info = error_info(error)
    body = {
        "type": f"urn:ryla:error:{info.code}",
        "title": info.code.replace("_", " "),
        "status": error.http_status,
        "detail": info.message,
        "instance": instance,
        "code": info.code,
        "field": info.field,
        "value": info.value,
        "hint": info.hint,
    }
    return {name: value for name, value in body.items() if value is not None}
