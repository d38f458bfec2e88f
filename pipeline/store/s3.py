"""The port over boto3: AWS S3, Cloudflare R2, and any endpoint that speaks S3.

boto3's own retries are off. After a lost reply they would turn our own success into a 412; every
retry is decided in conditional.py, where the bytes are compared.
"""

import base64
import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import datetime
from email.utils import parsedate_to_datetime
from functools import cache
from typing import TYPE_CHECKING, Any
from weakref import finalize

import boto3
import botocore.session
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    NoCredentialsError,
    PartialCredentialsError,
)
from botocore.loaders import Loader, create_loader
from urllib3.exceptions import HTTPError

from config.errors import StoreDenied, StoreNotConditional
from config.settings import Settings
from pipeline.store.base import (
    Busy,
    Condition,
    Entry,
    IfAbsent,
    IfMatch,
    OutcomeUnknown,
    Page,
    PreconditionFailed,
    Stored,
    Written,
)

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client
    from mypy_boto3_s3.type_defs import PutObjectRequestTypeDef


def connect(settings: Settings, *, pool: int = 32, read_timeout_s: float = 30.0) -> "S3Client":
    """A client for the bucket of these settings; safe to share between threads."""
    session = botocore.session.get_session()
    session.register_component("data_loader", _loader())
    # dateutil costs 40 of the 66 ms that boto3 spends on a page of 1,000 entries.
    parsers = session.get_component("response_parser_factory")
    parsers.set_parser_defaults(timestamp_parser=_timestamp)
    secret = settings.secret_access_key
    client = boto3.session.Session(botocore_session=session).client(
        "s3",
        endpoint_url=settings.endpoint_url,
        region_name=settings.region,
        aws_access_key_id=settings.access_key_id,
        aws_secret_access_key=None if secret is None else secret.get_secret_value(),
        config=Config(
            signature_version="s3v4",
            retries={"total_max_attempts": 1},
            max_pool_connections=pool,
            connect_timeout=5,
            read_timeout=read_timeout_s,
            parameter_validation=False,
            # R2 documents CRC32 as composite only, and refuses trailers on some accounts.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            s3={"addressing_style": settings.addressing_style},
        ),
    )
    # boto3 leaves its connections to the garbage collector, which complains of each.
    finalize(client, client._endpoint.http_session.close)  # type: ignore[attr-defined]
    return client


@cache
def _loader() -> Loader:
    """boto3 reads its descriptions of S3 for every session: 65 of the 80 ms that a client takes."""
    return create_loader()


def _timestamp(value: Any) -> Any:
    return datetime.fromisoformat(value) if value[:1].isdigit() else parsedate_to_datetime(value)


class S3Store:
    def __init__(self, client: "S3Client", bucket: str) -> None:
        self._client = client
        self._bucket = bucket

    def get(self, key: str, *, offset: int = 0, limit: int | None = None) -> Stored | None:
        extra: dict[str, str] = {}
        if offset or limit is not None:
            extra["Range"] = f"bytes={offset}-{'' if limit is None else offset + limit - 1}"
        try:
            with _typed_errors():
                reply = self._client.get_object(Bucket=self._bucket, Key=key, **extra)  # type: ignore[arg-type]
                body = reply["Body"].read()
        except _Missing:
            return None
        except _NoSuchRange:
            # Nothing lies there; what the object is can be told from its beginning.
            beginning = self.get(key, limit=1) if offset else self.get(key)
            return replace(beginning, body=b"") if beginning else None
        size = reply.get("ContentRange", f"/{len(body)}").rpartition("/")[2]
        return Stored(body, int(size), _plain(reply["ETag"]), reply["LastModified"], _date(reply))

    def put(
        self, key: str, body: bytes, condition: Condition, content_type: str = "application/json"
    ) -> Written:
        digest = hashlib.md5(body, usedforsecurity=False).digest()
        request: PutObjectRequestTypeDef = {
            "Bucket": self._bucket,
            "Key": key,
            "Body": body,
            "ContentType": content_type,
            "ContentMD5": base64.b64encode(digest).decode(),
        }
        if isinstance(condition, IfAbsent):
            request["IfNoneMatch"] = "*"
        elif isinstance(condition, IfMatch):
            request["IfMatch"] = f'"{condition.etag}"'
        try:
            with _typed_errors():
                reply = self._client.put_object(**request)
        except _Missing:
            raise PreconditionFailed(key) from None
        return Written(_plain(reply["ETag"]), _date(reply))

    def delete(self, key: str) -> None:
        with suppress(_Missing), _typed_errors():
            self._client.delete_object(Bucket=self._bucket, Key=key)

    def list(self, prefix: str, *, start_after: str = "", limit: int = 1000) -> Page:
        try:
            with _typed_errors():
                reply = self._client.list_objects_v2(
                    Bucket=self._bucket, Prefix=prefix, StartAfter=start_after, MaxKeys=limit
                )
        except _Missing as error:  # It is no key that is missing here.
            raise StoreDenied(f"the store does not know the bucket: {error}") from error
        entries = tuple(
            Entry(item["Key"], _plain(item["ETag"]), item["Size"], item["LastModified"])
            for item in reply.get("Contents", ())
        )
        return Page(entries, reply["IsTruncated"], _date(reply))

    def presigned_url(self, key: str, seconds: int) -> str:
        asked = {"Bucket": self._bucket, "Key": key}
        with _typed_errors():
            return self._client.generate_presigned_url("get_object", asked, ExpiresIn=seconds)


class _Missing(Exception):
    """404 on a key."""


_DAMAGED = frozenset({"BadDigest", "IncompleteBody", "XAmzContentSHA256Mismatch"})
"""The body was changed or cut on its way, and nothing was written."""


class _NoSuchRange(Exception):
    """416: the object ends before the first byte that was asked for."""


@contextmanager
def _typed_errors() -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        raise _typed(error) from error
    except (NoCredentialsError, PartialCredentialsError) as error:
        raise StoreDenied(f"no credentials for the store: {error}") from error
    except (BotoCoreError, HTTPError) as error:
        raise OutcomeUnknown(f"{type(error).__name__}: {error}") from error


def _typed(error: ClientError) -> Exception:
    status = error.response["ResponseMetadata"]["HTTPStatusCode"]
    code = error.response["Error"].get("Code", "")
    text = f"{status} {code}: {error.response['Error'].get('Message', '')}"
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
            f"the store cannot do a part of {error.operation_name}: {text}",
            hint="The queue needs If-None-Match and If-Match on PUT.",
        )
    if status >= 500 or code == "RequestTimeout":
        return OutcomeUnknown(text)
    return StoreDenied(f"the store refused {error.operation_name}: {text}")


def _plain(etag: str) -> str:
    return etag.strip('"')


def _date(reply: Mapping[str, Any]) -> datetime:
    """The reply's Date header: expiry is judged by nothing else, so it must be there."""
    value = reply["ResponseMetadata"]["HTTPHeaders"].get("date")
    if value is None:
        raise StoreNotConditional(
            "the store sends no Date header",
            hint="Use S3, R2 or a store that sends Date; lease expiry is judged by it alone.",
        )
    return parsedate_to_datetime(value)
