"""Why a job waits, for the tenant that asks how it fares: an operator's stop, or a budget. Without
figures and reasons, which are the operator's."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from config.errors import BudgetSpent
from pipeline.api.concurrency import Threads
from pipeline.api.lookup import OwnedJob
from pipeline.contract.stops import NO_STOPS, Stops
from pipeline.jobs.hold_ups import MAY_WAIT
from pipeline.queue.stops import read_stops
from pipeline.store.conditional import SafeStore

FRESH_S = 5.0
"""How old the stops may be: they cost a LIST."""


@dataclass
class WaitReasons:
    """Lives on the event loop alone; its reading is done in `threads`."""

    store: SafeStore
    threads: Threads
    monotonic: Callable[[], float] = time.monotonic
    _stops: Stops = NO_STOPS
    _at: float = float("-inf")
    _one_look: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def of(self, owned: OwnedJob) -> list[str]:
        """Nothing of a job that runs or has ended. Raises a StoreError."""
        if owned.view.state not in MAY_WAIT:
            return []
        lease = owned.view.lease
        model = (lease.model if lease else None) or owned.model
        scope = (await self._fresh()).over(owned.tenant, model)
        if scope is not None:
            return [f"it waits: an operator has stopped {scope}"]
        if lease is not None and lease.error is not None and lease.error.code == BudgetSpent.code:
            return ["it waits: a budget of the operator's has no room for it"]
        return []

    async def _fresh(self) -> Stops:
        async with self._one_look:
            if self.monotonic() - self._at >= FRESH_S:
                begun = self.monotonic()
                self._stops = await self.threads.run(read_stops, self.store)
                self._at = begun
        return self._stops
