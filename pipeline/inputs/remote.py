"""Reference pictures by https, at intake and nowhere else: only from hosts that the operator lists,
redirects and all."""

import http.client
import socket
import ssl
import time
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import urljoin

from config.errors import InvalidInput
from handlers.media.images import MAX_INTAKE_BYTES
from handlers.media.intake_process import Patience
from pipeline.contract.keys import clip
from pipeline.public_https import (
    INTERNET,
    BadUrl,
    Destination,
    Line,
    PublicHttps,
    destination_of,
)

MAX_REDIRECTS = 3
SECONDS = 20.0
"""For one URL, redirects and all."""
_REDIRECTS = (301, 302, 303, 307, 308)
_CHUNK = 64 * 1024
_HEADERS = {"Accept": "image/png, image/jpeg, image/webp"}


class Fetch(Protocol):
    def __call__(self, url: str, *, patience: Patience | None = None) -> bytes:
        """What lies at a URL, undecoded. Raises InvalidInput, or PictureAbandoned once the
        patience is over."""


@dataclass(frozen=True)
class _Reply:
    body: bytes = b""
    location: str | None = None


def _in_words(error: Exception) -> str:
    """Without a library's words, in which addresses may be."""
    match error:
        case ssl.SSLCertVerificationError():
            return "its certificate is not one that is trusted"
        case ssl.SSLError():
            return "it does not speak TLS"
        case socket.gaierror():
            return "its name has no address"
        case OSError():
            return "the connection was refused or broke"
        case http.client.HTTPException() | UnicodeError():
            return "it sent no HTTP answer"
    return clip(str(error))


@dataclass(frozen=True)
class ImageFetcher:
    """Fetches from these hosts."""

    hosts: frozenset[str]
    web: PublicHttps = INTERNET
    seconds: float = SECONDS
    """For one URL, redirects and all; finding the address of a host is not counted."""
    max_bytes: int = MAX_INTAKE_BYTES

    def fetch(self, url: str, *, patience: Patience | None = None) -> bytes:
        """What lies there, undecoded. Raises InvalidInput; PictureAbandoned as soon as the patience
        is over, or once the host's address is found."""
        line, patience = Line(), patience or Patience()
        patience.begin(line.cut)
        try:
            return self._followed(url, line)
        finally:
            patience.end()

    def _followed(self, url: str, line: Line) -> bytes:
        until = time.monotonic() + self.seconds
        for _ in range(MAX_REDIRECTS + 1):
            place = self._place(url)
            try:
                reply = self._get(place, until, line)
            except TimeoutError:
                raise InvalidInput(
                    f"{place.host} did not send the picture within {self.seconds:g} s"
                ) from None
            except (OSError, http.client.HTTPException, ValueError) as error:
                raise InvalidInput(f"{place.host} cannot be read: {_in_words(error)}") from None
            if reply.location is None:
                return reply.body
            url = urljoin(url, reply.location)
        raise InvalidInput(f"more than {MAX_REDIRECTS} redirects")

    def _place(self, url: str) -> Destination:
        try:
            place = destination_of(url)
        except BadUrl as error:
            raise InvalidInput(
                f"a picture's URL: {error}", hint=error.hint or "Download it and write @path."
            ) from None
        if place.host not in self.hosts:
            raise InvalidInput(
                f"pictures are not fetched from {clip(place.host)}",
                hint="The operator lists hosts in RYLA_PICTURE_HOSTS; or download it and write"
                " @path.",
            )
        return place

    def _get(self, place: Destination, until: float, line: Line) -> _Reply:
        with self.web.asked("GET", place, until, headers=_HEADERS, line=line) as response:
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
