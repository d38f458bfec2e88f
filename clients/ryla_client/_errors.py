"""Everything that a call can raise. The branches differ by what the caller may do.

RylaError
├── ConnectionFailed     nobody answered, or the answer broke off: repeat it with the same key
├── ServerError          the server answered that it cannot
│   ├── BadRequest       change the request: `field` and `hint` say what
│   ├── NotAllowed       another key, or more rights for it
│   ├── NotFound         no such job, output or path; a job of another tenant's is not found
│   ├── Conflict         take a new key: this one was used with another body
│   ├── TooMany          later, or less: `retry_after` says when
│   └── ServerFailed     theirs to mend; repeat it with the same key
├── UnexpectedAnswer     whoever answered does not speak as the server does: look at the URL
├── StillRunning         your time was over; the job goes on, `job_id` finds it
└── JobEnded             the job ended without pictures; `job` has all of it (_jobs.py)
    └── JobFailed, JobRejected, JobCancelled
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Details:
    """What is known of an error beside its message. None means: not known."""

    code: str | None = None
    """Stable, for programs, such as `unknown_field`."""
    field: str | None = None
    """Path of what is at fault, as the request has it."""
    hint: str | None = None
    """What to do about it."""
    status: int | None = None
    """Of HTTP."""
    idempotency_key: str | None = None
    """Of a call that submits. None of a submission means that nothing was sent."""
    request_id: str | None = None
    """For the server's operator, who finds it in the logs."""
    retry_after: float | None = None
    """Seconds."""
    job_id: str | None = None
    """Of the job that it is about."""


class RylaError(Exception):
    """The base of them all."""

    def __init__(self, message: str, details: Details | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.details = details or Details()

    @property
    def code(self) -> str | None:
        return self.details.code

    @property
    def field(self) -> str | None:
        return self.details.field

    @property
    def hint(self) -> str | None:
        return self.details.hint

    @property
    def status(self) -> int | None:
        return self.details.status

    @property
    def idempotency_key(self) -> str | None:
        return self.details.idempotency_key

    @property
    def request_id(self) -> str | None:
        return self.details.request_id

    @property
    def retry_after(self) -> float | None:
        """Seconds that the server asks to wait."""
        return self.details.retry_after

    @property
    def job_id(self) -> str | None:
        return self.details.job_id


class ConnectionFailed(RylaError):
    """Nobody answered, or the answer broke off. Whether a submission arrived is unknown."""


class ServerError(RylaError):
    """The server answered that it cannot."""


class BadRequest(ServerError):
    """The request cannot become a job as it is."""


class NotAllowed(ServerError):
    """No key, a wrong one, or one without the right."""


class NotFound(ServerError):
    """No such job, output or path."""


class Conflict(ServerError):
    """The idempotency key was used with another body."""


class TooMany(ServerError):
    """More than the tenant may ask for now."""


class ServerFailed(ServerError):
    """The server could not, and the request is not to blame."""


class UnexpectedAnswer(RylaError):
    """Something else than the server answered."""


class StillRunning(RylaError):
    """The time to wait was over; the job goes on."""
