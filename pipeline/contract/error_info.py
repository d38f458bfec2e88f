"""What an error of the tree (config/errors.py) becomes in the bucket: in results and leases."""

from pydantic import BaseModel, ConfigDict

from config.errors import InternalError, RylaError
from pipeline.contract.keys import clip
from pipeline.contract.public_text import public


class ErrorInfo(BaseModel):
    """An error as it stands in results, leases and rejected/ entries."""

    model_config = ConfigDict(extra="ignore", frozen=True, use_attribute_docstrings=True)

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
    """The error as anybody may know it who may see the job, cut to what a result should hold."""
    own = full_info(error)
    changed = {
        "message": public(own.message),
        "hint": None if own.hint is None else public(own.hint),
        "log_tail": tuple(map(public, own.log_tail)),
    }
    if isinstance(error, Unforeseen):
        changed["message"] = f"something unforeseen went wrong: {error.kind}"
    return own.model_copy(update=changed)


def full_info(error: RylaError) -> ErrorInfo:
    """The error as whoever runs the command on this machine may know it."""
    return ErrorInfo(
        code=error.code,
        message=clip(error.message, 2000),
        field=error.field,
        value=None if error.value is None else clip(error.value),
        hint=error.hint,
        retryable=error.retryable,
        log_tail=tuple(clip(line, 500) for line in error.log_tail[-20:]),
    )


class Unforeseen(InternalError):
    """An error that is not of the tree. What it says is some library's text, for the log alone."""

    def __init__(self, error: Exception) -> None:
        self.kind = type(error).__name__
        super().__init__(f"{self.kind}: {clip(str(error), 500)}")


def unforeseen(error: Exception) -> InternalError:
    """The tree's error for one that is not of the tree, for the process edges that catch it."""
    return Unforeseen(error)
