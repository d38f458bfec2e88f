"""What boto3 is asked for: credentials, regions, where a bucket is, signed URLs.

The queue's own calls are made without it (s3.py): made by boto3 they were three quarters of the CPU
of dispatcher and worker.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from weakref import finalize

import boto3
import botocore.session
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.compat import HTTPHeaders
from botocore.config import Config
from botocore.credentials import Credentials, ReadOnlyCredentials
from botocore.exceptions import BotoCoreError, NoCredentialsError, PartialCredentialsError
from botocore.httpsession import get_cert_path
from botocore.loaders import Loader, create_loader
from botocore.utils import get_environ_proxies

from config.errors import StoreDenied
from config.settings import Settings
from pipeline.store.base import CONNECT_S, READ_S, OutcomeUnknown

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client


def connect(settings: Settings) -> "S3Client":
    """A client for the bucket of these settings; safe to share between threads."""
    return Account(settings).client


@dataclass(frozen=True)
class Location:
    """Where requests to a bucket go, and for which region they are signed."""

    scheme: str
    host: str
    """With its port, unless it is the scheme's own."""
    path: str
    """What stands before a key's slash: the bucket, or nothing where the host names it."""
    region: str
    user_agent: str
    proxy: str | None
    """URL of the proxy that the environment names for this origin."""

    @property
    def origin(self) -> str:
        return f"{self.scheme}://{self.host}"


class Account:
    """Who we are to the store of these settings, as boto3 finds it out. No request is made."""

    def __init__(self, settings: Settings, region: str | None = None) -> None:
        """`region` in place of the settings'. Raises StoreDenied, OutcomeUnknown."""
        session = botocore.session.get_session()
        session.register_component("data_loader", _loader())
        key, secret = settings.access_key_id, settings.secret_access_key
        with _typed_errors():
            self.client: S3Client = boto3.session.Session(botocore_session=session).client(
                "s3",
                endpoint_url=settings.endpoint_url,
                region_name=region or settings.region,
                aws_access_key_id=key,
                aws_secret_access_key=None if secret is None else secret.get_secret_value(),
                config=Config(
                    signature_version="s3v4",
                    retries={"total_max_attempts": 1},
                    connect_timeout=CONNECT_S,
                    read_timeout=READ_S,
                    # R2 documents CRC32 as composite only, and refuses trailers on some accounts.
                    request_checksum_calculation="when_required",
                    response_checksum_validation="when_required",
                    s3={"addressing_style": settings.addressing_style},
                ),
            )
        # boto3 leaves its connections to the garbage collector, which complains of each.
        finalize(self.client, self.client._endpoint.http_session.close)  # type: ignore[attr-defined]
        self.ca_bundle = get_cert_path(session.get_config_variable("ca_bundle") or True)
        """File of the authorities that a server's certificate is checked against."""
        self._session = session
        self._explicit = Credentials(key, secret.get_secret_value()) if key and secret else None

    def credentials(self) -> ReadOnlyCredentials:
        """Renewed when they are about to expire. Raises StoreDenied, OutcomeUnknown."""
        with _typed_errors():
            found = self._explicit or self._session.get_credentials()
            if found is None:
                raise NoCredentialsError
            return found.get_frozen_credentials()

    def locate(self, bucket: str) -> Location:
        """Asks boto3 for a request and does not send it. Raises StoreDenied, OutcomeUnknown."""
        requests: list[AWSPreparedRequest] = []

        def keep(request: AWSPreparedRequest, **_: Any) -> Any:
            requests.append(request)
            return AWSResponse(request.url, 200, HTTPHeaders(), None)

        events = self.client.meta.events
        events.register("before-send.s3.GetObject", keep)
        try:
            with _typed_errors():
                self.client.get_object(Bucket=bucket, Key="k")
        finally:
            events.unregister("before-send.s3.GetObject", keep)
        (request,) = requests
        url = urlsplit(request.url)
        # AWS4-HMAC-SHA256 Credential=<key>/<day>/<region>/s3/aws4_request, …
        scope = _text(request.headers["Authorization"]).partition(",")[0]
        return Location(
            scheme=url.scheme,
            host=url.netloc.removesuffix(":443" if url.scheme == "https" else ":80"),
            path=url.path.removesuffix("/k"),
            region=scope.split("/")[-3],
            user_agent=_text(request.headers["User-Agent"]),
            proxy=_proxy(request.url, url.scheme),
        )

    def presigned_url(self, bucket: str, key: str, seconds: int) -> str:
        """A URL that whoever has it may GET for so many seconds. Raises StoreDenied,
        OutcomeUnknown."""
        with _typed_errors():
            return self.client.generate_presigned_url(
                "get_object", {"Bucket": bucket, "Key": key}, ExpiresIn=seconds
            )


@cache
def _loader() -> Loader:
    """boto3 reads its descriptions of S3 for every session: 65 of the 80 ms that a client takes."""
    return create_loader()


@contextmanager
def _typed_errors() -> Iterator[None]:
    """What boto3 raises without an answer of the store."""
    try:
        yield
    except (NoCredentialsError, PartialCredentialsError) as error:
        raise StoreDenied(f"no credentials for the store: {error}") from error
    except BotoCoreError as error:
        raise OutcomeUnknown(f"{type(error).__name__}: {error}") from error


def _text(header: str | bytes) -> str:
    return header.decode() if isinstance(header, bytes) else header


def _proxy(url: str, scheme: str) -> str | None:
    named = get_environ_proxies(url).get(scheme)
    if not named:
        return None
    proxy = named if "://" in named else f"http://{named}"
    if not proxy.startswith("http://"):
        raise StoreDenied(
            f"the proxy {urlsplit(proxy).hostname} is to be reached by {urlsplit(proxy).scheme}",
            hint="Name a proxy with http://, or the store in NO_PROXY.",
        )
    return proxy
