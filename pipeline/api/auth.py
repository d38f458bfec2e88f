"""Who asks: a tenant by its key, or this machine where no key is configured."""

import hashlib
import hmac
import ipaddress
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from config.errors import InvalidSetting
from config.settings import Settings, listed
from pipeline.api.request_errors import LoopbackOnly, NotAuthenticated
from pipeline.contract.keys import is_name

KEY_BYTES = 32
"""Random bytes of a key."""
PREFIX = "ryla_"
"""So that a key is known for one wherever it turns up."""
_SCHEME = re.compile(r"bearer +(\S+)\Z", re.IGNORECASE)
_ORIGIN = re.compile(r"https?://(\[[0-9a-f:.]+\]|[a-z0-9.-]+)(:[0-9]{1,5})?")
"""What a browser writes: no path, no user, and nothing behind the bracket of an address."""
_PROXIES = re.compile(
    r"forwarded|via|cdn-loop|true-client-ip|x-(real|client|cluster-client|originating|remote)-ip"
    r"|(x-forwarded|x-original|x-proxy|x-envoy|x-nginx|x-arr|x-azure|x-amzn?|x-vercel|x-appengine)-.*"
    r"|x-cloud-trace-context|x-(scheme|host)|(cf|fly|fastly|akamai|tailscale|ngrok)-.*"
)
"""Headers that a proxy, a tunnel or a CDN adds, in lower case. A proxy on this machine makes
everybody's requests come from here."""
_FOREIGN = "cross-site"
"""Of Sec-Fetch-Site: a page of another site asks. A browser sends no Origin with what a page shows,
such as a picture."""


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
        if any(_PROXIES.fullmatch(name.lower()) for name in peer.headers):
            raise LoopbackOnly("no key is configured, and this request came through a proxy")
        if not _is_local_name(_host(peer.headers.get("host", ""))):
            raise LoopbackOnly(
                "no key is configured, and the Host header names another machine",
                field="Host",
                hint="Ask for 127.0.0.1 or localhost, or set RYLA_API_KEYS.",
            )
        origin = peer.headers.get("origin")
        if origin is None:
            known = peer.headers.get("sec-fetch-site", "").strip().lower() != _FOREIGN
        else:
            known = origin.lower() in self.origins or _is_local_name(_host_of(origin))
        if not known:
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


def network_of(address: str | None) -> str:
    """What one machine's addresses have in common: of IPv6, which has many, their first half."""
    try:
        ip = ipaddress.ip_address(address or "")
    except ValueError:
        return ""
    return ip.compressed if ip.version == 4 else ip.exploded[:19]


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
    match = _ORIGIN.fullmatch(origin.lower())
    return match[1].strip("[]") if match else ""


def _is_local_name(name: str) -> bool:
    return name == "localhost" or name.endswith(".localhost") or _is_loopback(name)
