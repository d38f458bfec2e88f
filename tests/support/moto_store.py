"""moto as a store of the port: without a server, for cases of one thread.

Its conditional PUT looks first and acts later, and its replies carry no Date. A lock around every
call and a Date put into the reply make it fit; that it then is atomic is ours, so races are run
on a real server.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import format_datetime
from threading import RLock
from typing import Any

from moto import mock_aws

from config.settings import Settings
from pipeline.store.base import Condition, Page, Stored, Written
from pipeline.store.s3 import S3Store, connect

BUCKET = "moto"


class LockedStore(S3Store):
    _lock = RLock()

    def get(self, key: str, *, offset: int = 0, limit: int | None = None) -> Stored | None:
        with self._lock:
            return super().get(key, offset=offset, limit=limit)

    def put(
        self, key: str, body: bytes, condition: Condition, content_type: str = "application/json"
    ) -> Written:
        with self._lock:
            return super().put(key, body, condition, content_type)

    def delete(self, key: str) -> None:
        with self._lock:
            super().delete(key)

    def list(self, prefix: str, *, start_after: str = "", limit: int = 1000) -> Page:
        with self._lock:
            return super().list(prefix, start_after=start_after, limit=limit)


@contextmanager
def moto_store(*, dated: bool = True) -> Iterator[LockedStore]:
    """A store in this process. Without `dated` its replies lack the Date header, as moto's do."""
    settings = Settings(bucket=BUCKET, access_key_id="key", secret_access_key="secret")
    with mock_aws():
        client = connect(settings)
        client.create_bucket(Bucket=BUCKET)
        client.meta.events.register("after-call.s3", _add_date if dated else _drop_date)
        yield LockedStore(client, BUCKET)
        client.close()


def _add_date(parsed: dict[str, Any], **_: Any) -> None:
    headers = parsed["ResponseMetadata"]["HTTPHeaders"]
    headers["date"] = format_datetime(datetime.now(UTC), usegmt=True)


def _drop_date(parsed: dict[str, Any], **_: Any) -> None:
    parsed["ResponseMetadata"]["HTTPHeaders"].pop("date", None)
