"""Calls that block, off the event loop: the store's, and the reading of pictures."""

from collections.abc import Callable
from functools import partial
from typing import ParamSpec, TypeVar

from anyio import CapacityLimiter, to_thread

P = ParamSpec("P")
T = TypeVar("T")

STORE_CALLS = 32
"""Side by side in one process; more wait for their turn."""
INTAKES = 2
"""Bodies with pictures, which take CPU and up to 200 MB each."""


class Threads:
    """At most `total` calls at a time; more wait for their turn."""

    def __init__(self, total: int = STORE_CALLS) -> None:
        self._limiter = CapacityLimiter(total)

    async def run(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What the call returns or raises."""
        return await to_thread.run_sync(partial(call, *args, **kwargs), limiter=self._limiter)
