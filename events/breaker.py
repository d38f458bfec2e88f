"""When to leave a destination that fails alone."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Pauses:
    """Seconds without a try after a failure: doubled with each further one, up to `longest`."""

    first: float = 2.0
    longest: float = 60.0

    def after(self, failures: int) -> float:
        return min(self.longest, self.first * 2.0 ** min(failures - 1, 32))


@dataclass(frozen=True)
class Breaker:
    """What is known of one destination. One try after each pause decides on the next."""

    failures: int = 0
    """In a row."""
    paused_until: float = float("-inf")
    """Until then nothing is tried; seconds of the caller's clock."""

    def allows(self, now: float) -> bool:
        return now >= self.paused_until

    def failed(self, now: float, pauses: Pauses, retry_after_s: float | None) -> "Breaker":
        failures = self.failures + 1
        pause = max(pauses.after(failures), min(retry_after_s or 0.0, pauses.longest))
        return Breaker(failures, now + pause)
