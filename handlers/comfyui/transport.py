"""HTTP to ComfyUI: bounded in time and size, and each way to fail told apart."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Self

import httpx

from config.errors import ComfyDied, ComfyError, ComfyProtocolError, ComfyTimeout, ComfyUnavailable

MAX_JSON_BYTES: Final = 64 << 20
"""Of any other answer."""
_KEPT_S: Final = 60.0
"""An unused connection is kept so long, that of the last prompt for the next. ComfyUI's aiohttp
closes one after 75 s at the earliest."""
MAX_FILE_BYTES: Final = 512 << 20
"""Of a saved file, and of a frame of the socket."""


@dataclass(frozen=True)
class Reply:
    status: int
    body: bytes

    def json(self) -> dict[str, Any]:
        """Raises ComfyProtocolError unless the body is a JSON object."""
        try:
            value = json.loads(self.body)
        except (ValueError, RecursionError) as error:
            raise ComfyProtocolError(f"An answer is not JSON: {self.excerpt()}") from error
        if not isinstance(value, dict):
            raise ComfyProtocolError(f"An answer is not a JSON object: {self.excerpt()}")
        return value

    def excerpt(self) -> str:
        """Its first 200 bytes, for messages."""
        return self.body[:200].decode(errors="replace")


class Transport:
    """One ComfyUI's HTTP interface; keeps its connections, usable from several threads.

    `connect_s` bounds connecting, `reply_s` the whole of an answer unless a call says `within_s`.
    """

    def __init__(
        self,
        base_url: str,
        *,
        connect_s: float,
        reply_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.base_url = base_url.rstrip("/")
        self._connect_s = connect_s
        self._reply_s = reply_s
        self._clock = clock
        self._answered = False
        self._client = httpx.Client(
            base_url=self.base_url,
            limits=httpx.Limits(keepalive_expiry=_KEPT_S),
            trust_env=False,  # no proxy of the environment before a loopback server
            verify=self.base_url.startswith("https"),  # reading the CA bundle takes 20 ms
        )

    def close(self) -> None:
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def get_json(self, path: str, *, within_s: float | None = None) -> dict[str, Any]:
        """The JSON object at a path. Raises a ComfyError."""
        reply = self.call("GET", path, within_s=within_s)
        if reply.status != 200:
            raise ComfyProtocolError(f"GET {path} answered {reply.status}: {reply.excerpt()}")
        return reply.json()

    def call(
        self,
        method: str,
        path: str,
        *,
        limit: int = MAX_JSON_BYTES,
        within_s: float | None = None,
        **options: Any,
    ) -> Reply:
        """For requests that may be repeated: a dropped connection is tried once more.

        `limit` is in bytes of the answer, `options` are httpx's. Raises a ComfyError; any status is
        a Reply.
        """
        try:
            try:
                return self.send(method, path, limit=limit, within_s=within_s, **options)
            except (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError):
                return self.send(method, path, limit=limit, within_s=within_s, **options)
        except httpx.RequestError as error:
            raise self.translate(error, f"{method} {path}") from error

    def send(
        self,
        method: str,
        path: str,
        *,
        limit: int = MAX_JSON_BYTES,
        within_s: float | None = None,
        **options: Any,
    ) -> Reply:
        """One request, as it is. Raises httpx.RequestError, or ComfyProtocolError when too big."""
        seconds = self._reply_s if within_s is None else within_s
        timeout = httpx.Timeout(seconds, connect=min(seconds, self._connect_s))
        until = self._clock() + seconds
        with self._client.stream(method, path, timeout=timeout, **options) as response:
            self._answered = True
            chunks, size = [], 0
            for chunk in response.iter_bytes():
                size += len(chunk)
                if size > limit:
                    raise ComfyProtocolError(f"{method} {path} answers more than {limit} bytes")
                if self._clock() > until:
                    raise httpx.ReadTimeout("the answer does not end")
                chunks.append(chunk)
        return Reply(response.status_code, b"".join(chunks))

    def translate(self, error: Exception, doing: str) -> ComfyError:
        """The error of the tree for one of httpx; `doing` begins its message."""
        if isinstance(error, httpx.TimeoutException) and not isinstance(
            error, httpx.ConnectTimeout
        ):
            return ComfyTimeout(f"{doing}: no answer in time")
        if isinstance(error, httpx.TransportError):
            return self.gone(f"{doing}: {error}")
        return ComfyProtocolError(f"{doing}: {error}")

    def gone(self, message: str) -> ComfyError:
        """The error for nobody at the address: it died if it had answered before."""
        if self._answered:
            return ComfyDied(message)
        return ComfyUnavailable(message, hint=f"Is ComfyUI running at {self.base_url}?")
