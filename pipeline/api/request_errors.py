"""The branch of the error tree (config/errors.py) that only HTTP has.

RequestRefused                  an HTTP request that is refused for itself, not for its job
├── BadRequest, BodyTooLarge, WrongMediaType, RequestTooSlow
├── NotAuthenticated, LoopbackOnly, TooManyRequests, TooManyJobs
├── NoSuchPath, PathGone, WrongMethod
├── NotConfirmed                SNS does not take the confirmation of a subscription
└── NoSuchOutput, NoSuchFile, NotFinished, StillNotFinished
"""

from config.errors import RylaError


class RequestRefused(RylaError):
    """`retry_after_s` says after how many seconds asking again makes sense; None where it makes
    none, or nobody knows."""

    code = "request_refused"
    http_status = 400
    retry_after_s: int | None = None


class BadRequest(RequestRefused):
    code = "bad_request"


class BodyTooLarge(RequestRefused):
    code = "body_too_large"
    http_status = 413
    default_hint = "Send a smaller picture: nothing is gained above 16 megapixels."


class WrongMediaType(RequestRefused):
    code = "wrong_media_type"
    http_status = 415
    default_hint = "Send JSON with Content-Type: application/json."


class RequestTooSlow(RequestRefused):
    """The body was not there within `Timeouts.body`."""

    code = "request_too_slow"
    http_status = 408


class NotAuthenticated(RequestRefused):
    code = "not_authenticated"
    http_status = 401
    default_hint = "Send Authorization: Bearer <key>; the operator makes one with `ryla keys new`."


class LoopbackOnly(RequestRefused):
    code = "loopback_only"
    http_status = 403
    default_hint = "No key is configured, so only this machine may ask; set RYLA_API_KEYS."


class TooManyRequests(RequestRefused):
    """More than RYLA_API_REQUESTS_PER_MINUTE."""

    code = "too_many_requests"
    http_status = 429


class TooManyJobs(RequestRefused):
    """RYLA_API_JOBS_PER_TENANT of them wait or run."""

    code = "too_many_jobs"
    http_status = 429
    default_hint = "Wait until some of them are finished; GET /jobs lists them."


class NoSuchPath(RequestRefused):
    code = "no_such_path"
    http_status = 404
    default_hint = "GET /docs shows the paths, GET /models the kinds."


class PathGone(RequestRefused):
    """An endpoint of the system before this one."""

    code = "path_gone"
    http_status = 410


class WrongMethod(RequestRefused):
    code = "wrong_method"
    http_status = 405


class NotConfirmed(RequestRefused):
    code = "not_confirmed"
    http_status = 503
    default_hint = "SNS asks again by itself; `aws sns subscribe` has it ask at once."


class NoSuchOutput(RequestRefused):
    code = "no_such_output"
    http_status = 404


class NoSuchFile(RequestRefused):
    code = "no_such_file"
    http_status = 404


class NotFinished(RequestRefused):
    code = "not_finished"
    http_status = 409
    default_hint = "Ask with ?wait=120, or follow /jobs/{id}/events."


class StillNotFinished(RequestRefused):
    """All the waiting that was asked for was in vain; the job goes on."""

    code = "still_not_finished"
    http_status = 504
    default_hint = "The job goes on: ask for it again at /jobs/{id}."
