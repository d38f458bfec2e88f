"""How many requests a tenant may make in a minute, counted in this process."""

import math
import time
from dataclasses import dataclass, field

from limits import RateLimitItem, RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import SlidingWindowCounterRateLimiter

from pipeline.api.request_errors import TooManyRequests


@dataclass
class RateLimit:
    per_minute: int
    """Of one tenant, or of whoever else is named."""
    what: str = "requests"
    hint: str = "Wait as long as Retry-After says; GET /jobs/{id}/events needs one request a job."
    _limiter: SlidingWindowCounterRateLimiter = field(init=False)
    _item: RateLimitItem = field(init=False)

    def __post_init__(self) -> None:
        self._limiter = SlidingWindowCounterRateLimiter(MemoryStorage())
        self._item = RateLimitItemPerMinute(self.per_minute)

    def count(self, tenant: str) -> None:
        """One request more. Raises TooManyRequests."""
        if self._limiter.hit(self._item, tenant):
            return
        until = self._limiter.get_window_stats(self._item, tenant).reset_time
        error = TooManyRequests(
            f"more than {self.per_minute} {self.what} in a minute",
            hint=self.hint,
        )
        error.retry_after_s = max(1, math.ceil(until - time.time()))
        raise error
