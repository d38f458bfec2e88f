"""What this dispatcher has spawned, by claim, so that it can cancel what nobody started.

The name of a call stands in the lease only once a worker has started: written after the spawn, it
would change the ETag that the start needs. So who spawned remembers it, and others do not cancel.
"""

from collections import OrderedDict
from threading import Lock

MOST = 10_000
"""Claims that are remembered."""


class SpawnedCalls:
    """Usable from any thread."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._calls: OrderedDict[str, str] = OrderedDict()
        self._lock = Lock()

    def note(self, claim: str, call_id: str | None) -> None:
        if call_id is None:
            return
        with self._lock:
            self._calls[claim] = call_id
            while len(self._calls) > self._most:
                self._calls.popitem(last=False)

    def take(self, claim: str | None) -> str | None:
        """The call of a claim that was spawned here; it is then forgotten."""
        with self._lock:
            return None if claim is None else self._calls.pop(claim, None)
