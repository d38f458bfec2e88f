"""Where the server is and what opens it."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from ryla_client._errors import RylaError

URL_VARIABLE = "RYLA_CLIENT_URL"
KEY_VARIABLE = "RYLA_CLIENT_KEY"
LOCAL = "http://127.0.0.1:8787"
"""Where `ryla up` and `ryla serve` listen unless told otherwise."""

CONNECT_SECONDS = 10.0
"""Longest that a connection may take to be made."""
SLACK = 30.0
"""Seconds that an answer may take beyond what was asked to be waited."""


@dataclass(frozen=True)
class Server:
    url: str
    key: str | None = None

    def headers(self) -> dict[str, str]:
        headers = {"Accept": "application/json", "User-Agent": "ryla-client"}
        if self.key:
            headers["Authorization"] = f"Bearer {self.key}"
        return headers


def server(url: str | None, key: str | None, environ: Mapping[str, str] = os.environ) -> Server:
    """What is not given is read from the environment. Raises RylaError for what is no URL."""
    url = url or environ.get(URL_VARIABLE) or LOCAL
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise RylaError(f"{url!r} is no http(s) URL")
    return Server(url.rstrip("/"), key or environ.get(KEY_VARIABLE) or None)
