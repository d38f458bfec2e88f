"""Calls that block, off the event loop: the store's, and the reading of pictures."""

from collections.abc import Callable
from functools import partial
from typing import ParamSpec, TypeVar

import anyio
from anyio import CapacityLimiter, to_thread

from config.errors import StoreUnavailable

P = ParamSpec("P")
T = TypeVar("T")

STORE_CALLS = 32
"""Side by side in one process; more wait for their turn."""
INTAKES = 4
"""Bodies with pictures that are read or written side by side; their pictures are decoded one by
one. More wait for their turn, and are not in memory."""
INTAKES_EACH = 2
"""Of one tenant."""
PATIENCE_S = 16.0
"""For one call, with the wait for its turn; a store that hangs is not waited for any longer."""


class Threads:
    """At most `total` calls at a time; more wait for their turn."""

    def __init__(self, total: int = STORE_CALLS, patience_s: float = PATIENCE_S) -> None:
        self._limiter = CapacityLimiter(total)
        self._patience_s = patience_s

    async def run(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What the call returns or raises; StoreUnavailable when that takes too long. The call goes
        on then: it has limits of its own, and its thread does not count among the others."""
        try:
            with anyio.fail_after(self._patience_s):
                return await to_thread.run_sync(
                    partial(call, *args, **kwargs), limiter=self._limiter, abandon_on_cancel=True
                )
        except TimeoutError:
            raise StoreUnavailable(f"no answer of the store in {self._patience_s:g} s") from None
