"""Who asks: a tenant by its key, or this machine where no key is configured."""

import hashlib
import hmac
import ipaddress
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self
from urllib.parse import urlsplit

from config.errors import InvalidSetting
from config.settings import Settings, listed
from pipeline.api.errors import LoopbackOnly, NotAuthenticated
from pipeline.contract.keys import is_name

KEY_BYTES = 32
"""Random bytes of a key."""
PREFIX = "ryla_"
"""So that a key is known for one wherever it turns up."""
_SCHEME = re.compile(r"bearer +(\S+)\Z", re.IGNORECASE)
_FORWARDED = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via")


def new_key() -> str:
    """A prefix and 256 random bits, in the letters of URLs."""
    return PREFIX + secrets.token_urlsafe(KEY_BYTES)


def hashed(key: str) -> str:
    """As it stands in the setting. A key has 256 random bits, so it needs no slow hash."""
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()


@dataclass(frozen=True)
class Peer:
    """What is known of whoever asks."""

    address: str | None
    """IP address of the connection; None where the server tells none."""
    headers: Mapping[str, str]
    """Names in lower case."""


@dataclass(frozen=True)
class Authenticator:
    keys: Sequence[tuple[str, str]]
    """Tenant and sha256 of a key; a tenant may have several."""
    local_tenant: str
    """Whose the requests of this machine are, where there are no keys."""
    origins: frozenset[str] = frozenset()
    """Sites whose pages may ask from a browser of this machine, in lower case."""

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Raises InvalidSetting."""
        secret = settings.api_keys
        text = "" if secret is None else secret.get_secret_value()
        origins = listed(settings.cors_origins)
        return cls(tuple(_read(text)), settings.tenant, origins)

    def tenant(self, peer: Peer) -> str:
        """Raises NotAuthenticated or LoopbackOnly."""
        if not self.keys:
            self._require_local(peer)
            return self.local_tenant
        match = _SCHEME.fullmatch(peer.headers.get("authorization", "").strip())
        if match is None:
            raise NotAuthenticated("a key is needed")
        given, found = hashed(match[1]), ""
        for tenant, digest in self.keys:  # all of them, so that time tells nothing
            if hmac.compare_digest(given, digest):
                found = tenant
        if not found:
            raise NotAuthenticated("the key is not known")
        return found

    def _require_local(self, peer: Peer) -> None:
        """The connection comes from this machine, from no proxy, and from no page of a stranger's
        whose name was made to point here."""
        if not _is_loopback(peer.address or ""):
            raise LoopbackOnly("no key is configured, and this request is not from this machine")
        if any(name in peer.headers for name in _FORWARDED):
            raise LoopbackOnly("no key is configured, and this request came through a proxy")
        if not _is_local_name(_host(peer.headers.get("host", ""))):
            raise LoopbackOnly(
                "no key is configured, and the Host header names another machine",
                field="Host",
                hint="Ask for 127.0.0.1 or localhost, or set RYLA_API_KEYS.",
            )
        origin = peer.headers.get("origin")
        known = origin is None or origin.lower() in self.origins
        if not known and not _is_local_name(_host_of(origin or "")):
            raise LoopbackOnly(
                "no key is configured, and a page of another site asks",
                field="Origin",
                hint="List the site in RYLA_CORS_ORIGINS, or set RYLA_API_KEYS.",
            )


def _read(text: str) -> Sequence[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for part in filter(None, (each.strip() for each in text.split(","))):
        tenant, _, digest = part.partition(":")
        if not is_name(tenant) or not re.fullmatch(r"[0-9a-f]{64}", digest.strip().lower()):
            raise InvalidSetting(
                f"RYLA_API_KEYS: part {len(found) + 1} is not tenant:sha256",
                field="RYLA_API_KEYS",
                hint="`ryla keys new TENANT` prints a key and what to put here.",
            )
        found.append((tenant, digest.strip().lower()))
    return found


def _is_loopback(address: str) -> bool:
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    mapped = getattr(ip, "ipv4_mapped", None)
    return (mapped or ip).is_loopback


def _host(header: str) -> str:
    """Without its port."""
    match = re.fullmatch(r"(\[[0-9a-fA-F:.]+\]|[^:\[\]]*)(:[0-9]*)?", header.strip())
    return match[1].strip("[]").lower() if match else ""


def _host_of(origin: str) -> str:
    """Empty for an origin without one, such as `null`."""
    try:
        return urlsplit(origin).hostname or ""
    except ValueError:
        return ""


def _is_local_name(name: str) -> bool:
    return name == "localhost" or name.endswith(".localhost") or _is_loopback(name)
