"""What is on its way to one target, and what is known of that target."""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from events.breaker import Breaker
from events.sink import NotDelivered

SLOW_S = 0.5
"""After so long without an answer a delivery is slow, and its target gets nothing more."""


@dataclass(eq=False)
class Task:
    """One delivery of a lane."""

    send: Callable[[], object]
    on_delivered: Callable[[], None]
    on_undelivered: Callable[[NotDelivered], None]
    on_slow: Callable[[], None]
    since: float
    """When it was handed in, seconds of the sender's clock."""
    slow: bool = False
    """Whether `on_slow` was called for it."""


@dataclass(eq=False)
class Lane:
    """One target, such as a host, and what is on its way to it."""

    target: str
    breaker: Breaker = field(default_factory=Breaker)
    answered: bool = False
    """Whether it has ever taken something."""
    waiting: deque[Task] = field(default_factory=deque)
    current: Task | None = None
    sent_at: float = 0.0
    """When `current` was begun, seconds of the sender's clock."""
    answering: bool = False
    """Whether what was last sent is just being answered for."""

    def unanswered(self) -> Iterator[Task]:
        """The oldest first."""
        if self.current is not None:
            yield self.current
        yield from self.waiting

    @property
    def busy(self) -> bool:
        return self.current is not None or bool(self.waiting)

    def refusal(self, now: float, capacity: int) -> str | None:
        """Why nothing more is taken for it now; None if it is. `now` is seconds of the sender's
        clock, `capacity` the most tasks that may wait."""
        failures = self.breaker.failures
        if not self.breaker.allows(now):
            return f"paused after {failures} failures"
        if failures and self.busy:
            return f"one try at a time after {failures} failures"
        oldest = next(self.unanswered(), None)
        if oldest is not None and now - oldest.since > SLOW_S:
            return "what it was given before has no answer yet"
        return "too many deliveries are waiting" if len(self.waiting) >= capacity else None
