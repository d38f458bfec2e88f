"""Memory of large bodies, given back a moment after they were answered."""

import asyncio
from dataclasses import dataclass

from system.free_memory import give_back

AFTER_S = 0.5
"""By then nothing refers to the body any more; of many bodies at once the first one counts."""


@dataclass(eq=False)
class MemoryReturn:
    """Lives on the event loop alone."""

    after_s: float = AFTER_S
    _timer: asyncio.TimerHandle | None = None

    def soon(self) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self.after_s, self._now)

    def _now(self) -> None:
        self._timer = None
        give_back()
