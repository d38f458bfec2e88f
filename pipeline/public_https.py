"""Https to servers of the public internet that somebody else names: pictures, callbacks.

Whoever names a URL makes this machine open a connection. So: only hosts that the caller of this
module allows, only addresses of the public internet, and the connection goes to the very address
that was looked at: a name is resolved once, so that no second answer can lead elsewhere. Redirects
are the caller's to look at in the same way. Proxies of the environment are not used.
"""

import http.client
import io
import ipaddress
import re
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from threading import Lock
from typing import Any, Protocol
from urllib.parse import urlsplit

PORT = 443
MAX_URL = 2048
"""Characters."""
_PLAIN = re.compile(r"[!-\[\]-~]+")
"""Printable ASCII but the backslash, which readers of URLs disagree about."""
_UNICAST = ipaddress.ip_network("2000::/3")

Resolve = Callable[[str], Sequence[str]]
"""Host name → addresses, in order of preference. Raises OSError."""


class Connect(Protocol):
    def __call__(
        self, address: str, timeout_s: float, opened: Callable[[socket.socket], None]
    ) -> socket.socket:
        """A connection to port 443 of the address, told of before it is made. Raises OSError."""


class BadUrl(ValueError):
    """A URL that is not followed, whatever its host."""

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


def addresses_of(host: str) -> Sequence[str]:
    """By the system's resolver, in its order. Raises OSError."""
    found = socket.getaddrinfo(host, PORT, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(row[4][0]) for row in found))


def connect_to(
    address: str, timeout_s: float, opened: Callable[[socket.socket], None]
) -> socket.socket:
    """Raises OSError."""
    sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
    try:
        opened(sock)
        sock.settimeout(timeout_s)
        sock.connect((address, PORT))
    except BaseException:
        sock.close()
        raise
    return sock


class Line:
    """The connection that is in use, so that it can be cut from another thread."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._sock: socket.socket | None = None
        self._cut = False

    def hold(self, sock: socket.socket) -> None:
        """Raises ConnectionAbortedError once the line is cut."""
        with self._lock:
            self._sock = sock
            if self._cut:
                raise ConnectionAbortedError

    def cut(self) -> None:
        """Whatever waits for the connection ends with an OSError or an early end."""
        with self._lock:
            self._cut = True
            if self._sock is not None:
                with suppress(OSError):  # it is not connected yet, or closed
                    socket.socket.shutdown(self._sock, socket.SHUT_RDWR)


def is_public(address: str) -> bool:
    """Whether it is one machine's address on the public internet, and no other address in disguise
    (mapped, 6to4, Teredo, NAT64)."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv4Address):
        return ip.is_global and not ip.is_multicast
    return ip in _UNICAST and ip.is_global and ip.sixtofour is None and ip.teredo is None


@cache
def trusted() -> ssl.SSLContext:
    """Made once: reading the system's certificates takes longer than a request."""
    return ssl.create_default_context()


@dataclass(frozen=True)
class Destination:
    host: str
    """In lower case."""
    path: str
    """With the query."""


def destination_of(url: str) -> Destination:
    """Where a URL leads: https, port 443, no user name, at most MAX_URL characters of ASCII. Raises
    BadUrl."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise BadUrl("no URL", "Check how it is written.") from None
    if not _PLAIN.fullmatch(url) or len(url) > MAX_URL:
        raise BadUrl(
            f"a URL is at most {MAX_URL} characters of ASCII, without spaces or backslashes",
            "Escape other characters as %XX.",
        )
    if parts.scheme != "https" or port not in (None, PORT) or "@" in parts.netloc:
        raise BadUrl(
            "it is https alone, on port 443, without a user name", "Write https://host/path."
        )
    query = f"?{parts.query}" if parts.query else ""
    return Destination(host, (parts.path or "/") + query)


@dataclass(frozen=True)
class PublicHttps:
    """The ports are there so that tests can stand in for the internet."""

    resolve: Resolve = addresses_of
    connect: Connect = connect_to
    tls: Callable[[], ssl.SSLContext] = trusted

    @contextmanager
    def asked(
        self,
        method: str,
        place: Destination,
        until: float,
        *,
        headers: Mapping[str, str],
        body: bytes = b"",
        line: Line | None = None,
    ) -> Iterator[http.client.HTTPResponse]:
        """The answer, its body unread. `until` is a moment of the monotonic clock; finding the
        address of a host is not counted. `line` is for whoever may want to cut it.

        Raises TimeoutError, OSError, HTTPException or ValueError, in its body too.
        """
        with self._connected(place.host, until, line or Line()) as sock:
            sock.settimeout(_left(until))
            sock.sendall(_head(method, place, headers) + body)
            wire: Any = _Wire(sock, until)
            with http.client.HTTPResponse(wire, method=method) as response:
                response.begin()
                yield response

    def _connected(self, host: str, until: float, line: Line) -> ssl.SSLSocket:
        addresses = self.resolve(host)
        if not addresses or not all(map(is_public, addresses)):
            raise ValueError("its address is not on the public internet")
        raw = self._first_that_answers(addresses, until, line)
        secure: ssl.SSLSocket | None = None
        try:
            raw.settimeout(_left(until))
            secure = self.tls().wrap_socket(
                raw, server_hostname=host, do_handshake_on_connect=False
            )
            line.hold(secure)
            secure.do_handshake()
        except BaseException:
            (secure or raw).close()
            raise
        return secure

    def _first_that_answers(
        self, addresses: Sequence[str], until: float, line: Line
    ) -> socket.socket:
        for address in addresses[:-1]:
            try:
                return self.connect(address, _left(until) / 2, line.hold)
            except OSError:
                continue
        return self.connect(addresses[-1], _left(until), line.hold)


INTERNET = PublicHttps()


def _head(method: str, place: Destination, headers: Mapping[str, str]) -> bytes:
    fields = {
        "Host": place.host,
        "User-Agent": "ryla",
        "Accept-Encoding": "identity",
        **headers,
        "Connection": "close",
    }
    lines = [f"{method} {place.path} HTTP/1.1", *(f"{name}: {it}" for name, it in fields.items())]
    return "\r\n".join((*lines, "", "")).encode()


def _left(until: float) -> float:
    left = until - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


class _Stream(io.RawIOBase):
    """A socket to read from, until a moment and not longer, however slowly bytes drip in."""

    def __init__(self, sock: socket.socket, until: float) -> None:
        self._sock = sock
        self._until = until

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._sock.settimeout(_left(self._until))
        return self._sock.recv_into(buffer)


@dataclass(frozen=True)
class _Wire:
    """What http.client takes for a socket."""

    sock: socket.socket
    until: float

    def makefile(self, mode: str) -> io.BufferedReader:  # noqa: ARG002 - http.client's call
        return io.BufferedReader(_Stream(self.sock, self.until))
