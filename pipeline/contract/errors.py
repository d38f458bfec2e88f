"""What an error of the tree (config/errors.py) becomes in the bucket: in results and leases."""

from pydantic import BaseModel, ConfigDict

from config.errors import InternalError, RylaError
from pipeline.contract.keys import clip


class ErrorInfo(BaseModel):
    """An error as it stands in results, leases and rejected/ entries."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    code: str
    """Of a class of the tree."""
    message: str
    field: str | None = None
    """Path of what is at fault, such as `input.width`."""
    value: str | None = None
    """What it held, as text of at most 200 characters."""
    hint: str | None = None
    retryable: bool = False
    log_tail: tuple[str, ...] = ()
    """ComfyUI's last lines, at most 20 of 500 characters, the latest at the end."""


def error_info(error: RylaError) -> ErrorInfo:
    """The error with its texts cut to what a lease and a result should hold."""
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
