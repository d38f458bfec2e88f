"""What an error of the tree (config/errors.py) becomes in the bucket: in results and leases."""

from pydantic import BaseModel, ConfigDict

from config.errors import InternalError, RylaError
from pipeline.contract.keys import clip


class ErrorInfo(BaseModel):
    """An error as it stands in results, leases and rejected/ entries."""

    model_config = ConfigDict(extra="ignore", frozen=True)

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
