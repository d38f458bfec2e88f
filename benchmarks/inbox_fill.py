"""Puts very many small objects into a bucket in short time: signed requests and little else."""

import hashlib
import hmac
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from http.client import HTTPConnection
from urllib.parse import quote, urlsplit

from config.settings import Settings

THREADS = 12


def fill(settings: Settings, keys: Sequence[str], body: bytes) -> None:
    """Every key gets this body."""
    shares = [keys[n::THREADS] for n in range(THREADS)]
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(lambda share: _put_all(settings, share, body), shares))


def _put_all(settings: Settings, keys: Sequence[str], body: bytes) -> None:
    host = urlsplit(str(settings.endpoint_url)).netloc
    connection = HTTPConnection(host, timeout=60)
    digest = hashlib.sha256(body).hexdigest()
    for key in keys:
        path = quote(f"/{settings.bucket}/{key}")
        connection.request("PUT", path, body, _signed(settings, host, path, digest))
        reply = connection.getresponse()
        answer = reply.read()
        if reply.status != 200:
            raise RuntimeError(f"{key}: {reply.status} {answer[:200]!r}")
    connection.close()


def _signed(settings: Settings, host: str, path: str, digest: str) -> dict[str, str]:
    """The headers of a PUT under AWS Signature Version 4."""
    assert settings.secret_access_key is not None
    now = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    names = "host;x-amz-content-sha256;x-amz-date"
    lines = f"host:{host}\nx-amz-content-sha256:{digest}\nx-amz-date:{now}\n"
    request = f"PUT\n{path}\n\n{lines}\n{names}\n{digest}"
    scope = f"{now[:8]}/{settings.region}/s3/aws4_request"
    hashed = hashlib.sha256(request.encode()).hexdigest()
    key = f"AWS4{settings.secret_access_key.get_secret_value()}".encode()
    for part in (*scope.split("/"), f"AWS4-HMAC-SHA256\n{now}\n{scope}\n{hashed}"):
        key = hmac.digest(key, part.encode(), "sha256")
    credential = f"AWS4-HMAC-SHA256 Credential={settings.access_key_id}/{scope}"
    return {
        "x-amz-date": now,
        "x-amz-content-sha256": digest,
        "authorization": f"{credential},SignedHeaders={names},Signature={key.hex()}",
    }
