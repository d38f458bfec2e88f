"""What an answer means: the document that was asked for, or the error to raise."""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ryla_client._calls import Broken, Call, Reply
from ryla_client._errors import ConnectionFailed, Details, RylaError, UnexpectedAnswer
from ryla_client._jobs import Job, read_job, refusal
from ryla_client._retry import REPEATED, retry_after


def problem(call: Call, reply: Reply | Broken) -> RylaError:
    """What a call that is not repeated any more raises."""
    if isinstance(reply, Broken):
        hints = ["Does the server run, and is the URL its own?"] if not reply.reached else []
        if call.key:
            hints.append("Call again with this idempotency_key: it stays one job.")
        hint = " ".join(hints) or None
        return ConnectionFailed(
            reply.why, Details(hint=hint, idempotency_key=call.key, job_id=call.job_id)
        )
    document = _loaded(reply.body)
    known = document if isinstance(document, dict) else {}
    details = Details(
        code=_text(known, "code"),
        field=_text(known, "field"),
        hint=_text(known, "hint"),
        status=reply.status,
        idempotency_key=call.key,
        request_id=_request_id(reply, known),
        retry_after=retry_after(reply.headers),
        job_id=_text(known, "job") or call.job_id,
    )
    if "detail" not in known and reply.status < 500 and reply.status not in REPEATED:
        return UnexpectedAnswer(
            f"{call.method} {call.path} was answered {reply.status} without a problem document",
            replace(details, hint=details.hint or "Is the URL that of the server?"),
        )
    return refusal(reply.status, known, details)


def _text(document: Mapping[str, Any], name: str) -> str | None:
    value = document.get(name)
    return value if isinstance(value, str) else None


def _request_id(reply: Reply, document: Mapping[str, Any]) -> str | None:
    return reply.headers.get("x-request-id") or _text(document, "request_id")


def decoded(call: Call, reply: Reply) -> dict[str, Any]:
    """The JSON object of a good answer. Raises UnexpectedAnswer."""
    document = _loaded(reply.body)
    if not isinstance(document, dict):
        raise _unexpected(call, reply)
    return document


def job_of(call: Call, reply: Reply) -> Job:
    """Raises UnexpectedAnswer for an answer that tells of no job."""
    return job_in(call, reply, _loaded(reply.body))


def job_in(call: Call, reply: Reply, document: object) -> Job:
    """As `job_of`, of a part of an answer."""
    job = read_job(document, call.key)
    if job is None:
        raise _unexpected(call, reply)
    return job


def _unexpected(call: Call, reply: Reply) -> UnexpectedAnswer:
    said = reply.headers.get("content-type", "no content type")
    return UnexpectedAnswer(
        f"{call.method} {call.path} was answered {reply.status} with {said}",
        Details(
            hint="Is the URL that of the server?",
            status=reply.status,
            idempotency_key=call.key,
            request_id=_request_id(reply, {}),
            job_id=call.job_id,
        ),
    )


def _loaded(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return None
