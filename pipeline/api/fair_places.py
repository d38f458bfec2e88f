"""Few places for much work, shared by tenants: who has the fewest places is let in first."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


@dataclass
class _Waiter:
    tenant: str
    let_in: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass
class FairPlaces:
    """Lives on one event loop."""

    total: int
    each: int
    """Of one tenant at a time, though others stay free: whoever comes next finds one."""
    _taken: Counter[str] = field(default_factory=Counter)
    _waiting: list[_Waiter] = field(default_factory=list)

    @asynccontextmanager
    async def place(self, tenant: str) -> AsyncIterator[None]:
        waiter = _Waiter(tenant)
        self._waiting.append(waiter)
        self._let_in()
        try:
            await waiter.let_in.wait()
            yield
        finally:
            if waiter.let_in.is_set():
                self._taken[tenant] -= 1
            else:
                self._waiting.remove(waiter)
            self._let_in()

    def _let_in(self) -> None:
        self._taken += Counter()  # who has none is forgotten
        while self._taken.total() < self.total:
            able = [each for each in self._waiting if self._taken[each.tenant] < self.each]
            if not able:
                return
            first = min(able, key=lambda each: self._taken[each.tenant])
            self._waiting.remove(first)
            self._taken[first.tenant] += 1
            first.let_in.set()
