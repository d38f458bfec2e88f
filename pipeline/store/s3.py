"""The port over HTTP: AWS S3, Cloudflare R2, and any endpoint that speaks S3.

Each call is sent once. After a lost reply a retry would turn our own success into a 412, so every
retry is decided in conditional.py, where the bytes are compared.
"""

import base64
import hashlib
from dataclasses import replace
from datetime import datetime
from email.utils import parsedate_to_datetime

from config.errors import StoreDenied, StoreNotConditional
from config.settings import Settings
from pipeline.store.base import (
    ALWAYS,
    READ_S,
    Always,
    Busy,
    Condition,
    IfAbsent,
    IfMatch,
    OutcomeUnknown,
    Page,
    PreconditionFailed,
    Stored,
    Written,
)
from pipeline.store.s3_client import connect
from pipeline.store.s3_http import Reply
from pipeline.store.s3_requests import Request, S3Requests
from pipeline.store.s3_xml import error_fields, parse_listing

__all__ = ["S3Store", "connect"]

CONDITIONS = "The queue needs If-None-Match and If-Match on PUT."


class S3Store:
    """Keeps up to `pool` connections. No request is made before the first call.

    Beside what the port says, a reply without a Date header and a 501 are StoreNotConditional.
    """

    def __init__(
        self, settings: Settings, *, pool: int = 32, read_timeout_s: float = READ_S
    ) -> None:
        self._requests = S3Requests(settings, pool=pool, read_timeout_s=read_timeout_s)
        self._bucket = settings.bucket

    def get(self, key: str, *, offset: int = 0, limit: int | None = None) -> Stored | None:
        headers: dict[str, str] = {}
        if offset or limit is not None:
            headers["range"] = f"bytes={offset}-{'' if limit is None else offset + limit - 1}"
        try:
            reply = self._send("GetObject", Request("GET", key, headers=headers))
        except _Missing:
            return None
        except _NoSuchRange:
            # Nothing lies there; what the object is can be told from its beginning.
            beginning = self.get(key, limit=1) if offset else self.get(key)
            return replace(beginning, body=b"") if beginning else None
        size = reply.headers.get("content-range", f"/{len(reply.body)}").rpartition("/")[2]
        return Stored(reply.body, int(size), _etag(reply), _modified(reply), _date(reply))

    def put(
        self, key: str, body: bytes, condition: Condition, content_type: str = "application/json"
    ) -> Written:
        digest = hashlib.md5(body, usedforsecurity=False).digest()
        headers = {
            "content-type": content_type,
            "content-md5": base64.b64encode(digest).decode(),
            **_condition(condition),
        }
        try:
            reply = self._send("PutObject", Request("PUT", key, headers=headers, body=body))
        except _Missing:
            raise PreconditionFailed(key) from None
        return Written(_etag(reply), _date(reply))

    def delete(self, key: str, condition: IfMatch | Always = ALWAYS) -> None:
        try:
            self._send("DeleteObject", Request("DELETE", key, headers=_condition(condition)))
        except _Missing:
            """As it should be."""

    def list(self, prefix: str, *, start_after: str = "", limit: int = 1000) -> Page:
        query = {
            "list-type": "2",
            "encoding-type": "url",
            "max-keys": str(limit),
            "prefix": prefix,
            "start-after": start_after,
        }
        try:
            reply = self._send("ListObjectsV2", Request("GET", query=query))
        except _Missing as error:  # It is no key that is missing here.
            raise StoreDenied(f"the store does not know the bucket: {error}") from error
        entries, truncated = parse_listing(reply.body)
        return Page(entries, truncated, _date(reply))

    def presigned_url(self, key: str, seconds: int) -> str:
        """A URL that whoever has it may GET for so many seconds. No request is made."""
        return self._requests.account.presigned_url(self._bucket, key, seconds)

    def _send(self, operation: str, request: Request) -> Reply:
        reply = self._requests.send(request)
        if 200 <= reply.status < 300:
            if operation != "GetObject" and b"<Error>" in reply.body[:256]:
                raise OutcomeUnknown(f"an error under {reply.status}: {reply.body[:200]!r}")
            return reply
        raise _typed(operation, reply)


class _Missing(Exception):
    """404 on a key."""


_DAMAGED = frozenset({"BadDigest", "IncompleteBody", "XAmzContentSHA256Mismatch"})
"""The body was changed or cut on its way, and nothing was written."""


class _NoSuchRange(Exception):
    """416: the object ends before the first byte that was asked for."""


def _typed(operation: str, reply: Reply) -> Exception:
    status, error = reply.status, error_fields(reply.body)
    code = error.get("Code", "")
    text = f"{status} {code}: {error.get('Message', '')}"
    if status == 404 and code != "NoSuchBucket":
        return _Missing(text)
    if status == 416:
        return _NoSuchRange(text)
    if status == 412:
        return PreconditionFailed(text)
    if status in (409, 429) or code in _DAMAGED:
        return Busy(text)
    if status == 501:
        return StoreNotConditional(
            f"the store cannot do a part of {operation}: {text}", hint=CONDITIONS
        )
    if status >= 500 or code == "RequestTimeout":
        return OutcomeUnknown(text)
    if status in (301, 302, 307):
        return StoreDenied(
            f"the bucket is elsewhere: {operation}: {text}",
            hint="Set RYLA_REGION, and RYLA_ENDPOINT_URL if there is one, to the bucket's own.",
        )
    return StoreDenied(f"the store refused {operation}: {text}")


def _condition(condition: Condition) -> dict[str, str]:
    match condition:
        case IfAbsent():
            return {"if-none-match": "*"}
        case IfMatch(etag):
            return {"if-match": f'"{etag}"'}
        case Always():
            return {}


def _etag(reply: Reply) -> str:
    return _header(reply, "etag").strip('"')


def _header(reply: Reply, name: str) -> str:
    value = reply.headers.get(name)
    if value is None:
        raise OutcomeUnknown(f"{reply.status} without {name}")
    return value


def _modified(reply: Reply) -> datetime:
    return parsedate_to_datetime(_header(reply, "last-modified"))


def _date(reply: Reply) -> datetime:
    """The reply's Date header: expiry is judged by nothing else, so it must be there."""
    value = reply.headers.get("date")
    if value is None:
        raise StoreNotConditional(
            "the store sends no Date header",
            hint="Use S3, R2 or a store that sends Date; lease expiry is judged by it alone.",
        )
    return parsedate_to_datetime(value)
