"""Reference pictures by https, at intake and nowhere else.

Whoever names a URL makes this machine open a connection. So: only hosts that the operator lists,
only addresses of the public internet, and the connection goes to the very address that was looked
at: a name is resolved once, so that no second answer can lead elsewhere. Redirects are looked at in
the same way. Proxies of the environment are not used.
"""

import http.client
import io
import ipaddress
import re
import socket
import ssl
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import urljoin, urlsplit

from config.errors import InvalidInput
from handlers.images import MAX_INTAKE_BYTES
from pipeline.keys import clip

PORT = 443
MAX_URL = 2048
MAX_REDIRECTS = 3
SECONDS = 20.0
_REDIRECTS = (301, 302, 303, 307, 308)
_PLAIN = re.compile(r"[!-\[\]-~]+")
"""Printable ASCII but the backslash, which readers of URLs disagree about."""
_UNICAST = ipaddress.ip_network("2000::/3")
_CHUNK = 64 * 1024

Fetch = Callable[[str], bytes]
Resolve = Callable[[str], Sequence[str]]
"""Host name → addresses, in order of preference. Raises OSError."""


class Connect(Protocol):
    def __call__(self, address: str, timeout_s: float) -> socket.socket:
        """A connection to port 443 of the address. Raises OSError."""


def addresses_of(host: str) -> Sequence[str]:
    found = socket.getaddrinfo(host, PORT, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(row[4][0]) for row in found))


def connect_to(address: str, timeout_s: float) -> socket.socket:
    return socket.create_connection((address, PORT), timeout_s)


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


@dataclass(frozen=True)
class _Place:
    host: str
    path: str
    """With the query."""


@dataclass(frozen=True)
class _Reply:
    body: bytes = b""
    location: str | None = None


@dataclass(frozen=True)
class PictureFetcher:
    """Fetches from these hosts. The ports are there so that tests can stand in for the internet."""

    hosts: frozenset[str]
    resolve: Resolve = addresses_of
    connect: Connect = connect_to
    tls: Callable[[], ssl.SSLContext] = ssl.create_default_context
    seconds: float = SECONDS
    """For one URL, redirects and all; finding the address of a host is not counted."""
    max_bytes: int = MAX_INTAKE_BYTES

    def fetch(self, url: str) -> bytes:
        """What lies there, undecoded. Raises InvalidInput."""
        until = time.monotonic() + self.seconds
        for _ in range(MAX_REDIRECTS + 1):
            place = self._place(url)
            try:
                reply = self._get(place, until)
            except TimeoutError:
                raise InvalidInput(
                    f"{place.host} did not send the picture within {self.seconds:g} s"
                ) from None
            except (OSError, http.client.HTTPException, ValueError) as error:
                raise InvalidInput(f"{place.host} cannot be read: {clip(str(error))}") from None
            if reply.location is None:
                return reply.body
            url = urljoin(url, reply.location)
        raise InvalidInput(f"more than {MAX_REDIRECTS} redirects")

    def _place(self, url: str) -> _Place:
        try:
            parts = urlsplit(url)
            host, port = parts.hostname or "", parts.port
        except ValueError:
            raise InvalidInput("no URL", hint="Check how it is written.") from None
        if not _PLAIN.fullmatch(url) or len(url) > MAX_URL:
            raise InvalidInput(
                f"a URL is at most {MAX_URL} characters of ASCII, without spaces or backslashes",
                hint="Escape other characters as %XX.",
            )
        if parts.scheme != "https" or port not in (None, PORT) or "@" in parts.netloc:
            raise InvalidInput(
                "pictures are fetched by https alone, from port 443, without a user name",
                hint="Download it and write @path.",
            )
        if host not in self.hosts:
            raise InvalidInput(
                f"pictures are not fetched from {clip(host)}",
                hint="The operator lists hosts in RYLA_PICTURE_HOSTS; or download it and write"
                " @path.",
            )
        query = f"?{parts.query}" if parts.query else ""
        return _Place(host, (parts.path or "/") + query)

    def _get(self, place: _Place, until: float) -> _Reply:
        with self._connected(place.host, until) as sock:
            sock.settimeout(_left(until))
            sock.sendall(_request(place))
            wire: Any = _Wire(sock, until)
            with http.client.HTTPResponse(wire, method="GET") as response:
                response.begin()
                location = response.getheader("Location")
                if response.status in _REDIRECTS and location:
                    return _Reply(location=location)
                if response.status != http.client.OK:
                    raise ValueError(f"it answered {response.status}")
                if response.getheader("Content-Encoding", "identity") != "identity":
                    raise ValueError("it sent a compressed body")
                return _Reply(self._body(response))

    def _body(self, response: http.client.HTTPResponse) -> bytes:
        parts: list[bytes] = []
        size = 0
        while part := response.read(_CHUNK):
            parts.append(part)
            size += len(part)
            if size + (response.length or 0) > self.max_bytes:
                raise ValueError(f"the picture has more than {self.max_bytes} bytes")
        if response.length:
            raise ValueError("it broke off")
        return b"".join(parts)

    def _connected(self, host: str, until: float) -> ssl.SSLSocket:
        addresses = self.resolve(host)
        if not addresses or not all(map(is_public, addresses)):
            raise ValueError("its address is not on the public internet")
        raw = self._first_that_answers(addresses, until)
        try:
            raw.settimeout(_left(until))
            return self.tls().wrap_socket(raw, server_hostname=host)
        except BaseException:
            raw.close()
            raise

    def _first_that_answers(self, addresses: Sequence[str], until: float) -> socket.socket:
        for address in addresses[:-1]:
            try:
                return self.connect(address, _left(until) / 2)
            except OSError:
                continue
        return self.connect(addresses[-1], _left(until))


def _request(place: _Place) -> bytes:
    lines = (
        f"GET {place.path} HTTP/1.1",
        f"Host: {place.host}",
        "User-Agent: ryla",
        "Accept: image/png, image/jpeg, image/webp",
        "Accept-Encoding: identity",
        "Connection: close",
    )
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
