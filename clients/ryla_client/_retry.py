"""When a call is made again.

A submission carries its Idempotency-Key from the first try on, and the server makes one job of one
key. So whatever became of a try (never delivered, delivered and its answer lost, refused for now),
the same request under the same key cannot start or pay for a second job. All other calls read, or
cancel, and may be repeated anyway. What the server refused for good is not repeated.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

REPEATED = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Statuses after which the same request may well succeed."""


@dataclass(frozen=True)
class Retries:
    """How long and how often a call is repeated. Durations in seconds."""

    elapsed: float = 60.0
    """No try begins later than this after the first one; 0 means a single try."""
    first_pause: float = 0.5
    """Longest pause before the second try; it doubles with each further one."""
    longest_pause: float = 15.0
    """What it doubles up to. A longer Retry-After is obeyed all the same."""

    def __post_init__(self) -> None:
        for name in ("elapsed", "first_pause", "longest_pause"):
            value = getattr(self, name)
            if not 0 <= value < float("inf"):
                raise ValueError(f"{name} = {value!r}: a number of seconds from 0 on")

    def pause(self, tries: int, spent: float, asked: float | None, jitter: float) -> float | None:
        """Seconds to wait after `tries` tries that took `spent` seconds, or None to give up.

        `asked` is the server's Retry-After, `jitter` a share from 0 to 1.
        """
        backoff = min(self.longest_pause, self.first_pause * 2.0 ** min(tries - 1, 30)) * jitter
        pause = max(backoff, asked or 0.0)
        return pause if spent + pause < self.elapsed else None


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that the server asks to wait, if it does. A date is held against its own Date."""
    said = headers.get("retry-after", "").strip()
    if said.isascii() and said.isdigit():
        return float(said)
    try:
        then = parsedate_to_datetime(said)
        now = parsedate_to_datetime(headers.get("date", ""))
        return max(0.0, (then - now).total_seconds())
    except (TypeError, ValueError):
        return None
