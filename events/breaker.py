"""When to leave a destination that fails alone."""

from dataclasses import dataclass

from system.backoff import Backoff


@dataclass(frozen=True)
class Breaker:
    """What is known of one destination. One try after each pause decides on the next."""

    failures: int = 0
    """In a row."""
    paused_until: float = float("-inf")
    """Until then nothing is tried; seconds of the caller's clock."""

    def allows(self, now: float) -> bool:
        """Whether to try now; `now` is seconds of the same clock as `paused_until`."""
        return now >= self.paused_until

    def failed(self, now: float, backoff: Backoff, retry_after_s: float | None) -> "Breaker":
        """`backoff` says how long nothing is tried; a longer `retry_after_s` up to its longest."""
        failures = self.failures + 1
        pause = max(backoff.pause_s(failures), min(retry_after_s or 0.0, backoff.longest_s))
        return Breaker(failures, now + pause)
