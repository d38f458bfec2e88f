"""Growing pauses between tries. Pure: whoever waits brings the clock and the chance."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count

MOST_GROWTHS = 30
"""A pause that has grown so often stays as it is: no float holds every power."""


@dataclass(frozen=True)
class Backoff:
    """Seconds: the first pause, and each further one `factor` times longer, up to the longest."""

    first_s: float
    longest_s: float
    factor: float = 2.0

    def pause_s(self, number: int) -> float:
        """The pause of this number, from 1."""
        return min(self.longest_s, self.first_s * self.factor ** min(number - 1, MOST_GROWTHS))

    def jittered_s(self, number: int, jitter: float) -> float:
        """Full jitter: a share of that pause. `jitter` is in [0, 1)."""
        return self.pause_s(number) * jitter

    def pauses(self) -> Iterator[float]:
        """One after the other, without end."""
        return map(self.pause_s, count(1))
