"""Tells whoever follows jobs why they wait: a stop, or a budget without room."""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Self

from rich.markup import escape

from config.errors import BudgetSpent, Stopped
from config.settings import Settings
from pipeline.cli import output
from pipeline.contract.lease import Lease
from pipeline.contract.manifest import Manifest
from pipeline.jobs.hold_ups import MAY_WAIT, NOTHING, HoldUps, read_hold_ups
from pipeline.jobs.status import JobView
from pipeline.runtime import load_runtime
from pipeline.store.conditional import SafeStore

ASK_SECONDS = 15.0
"""Between two looks at stops and budgets, while a job waits."""
HELD_UP = (Stopped.code, BudgetSpent.code)


@dataclass
class WaitNotes:
    """Each reason is told once on stderr, and again when another number of jobs waits for it."""

    read: Callable[[], HoldUps]
    manifests: Mapping[str, Manifest] = field(default_factory=dict)
    """Of the jobs that were sent from here: of one in the inbox nothing else is known."""
    say: Callable[[str], None] = lambda line: output.err().print(escape(line), soft_wrap=True)
    monotonic: Callable[[], float] = time.monotonic
    _told: set[str] = field(default_factory=set)
    _hold_ups: HoldUps = NOTHING
    _due: float = float("-inf")

    @classmethod
    def of(
        cls, store: SafeStore, settings: Settings, manifests: Mapping[str, Manifest] | None = None
    ) -> Self:
        """Raises InvalidSetting."""
        runtime = load_runtime(settings, settings.engine)
        return cls(partial(read_hold_ups, store, runtime), manifests or {})

    def tell(self, views: Iterable[JobView]) -> None:
        """Raises StoreUnavailable or StoreDenied."""
        waiting = [view for view in views if view.state in MAY_WAIT]
        if waiting and self.monotonic() >= self._due:
            self._hold_ups = self.read()
            self._due = self.monotonic() + ASK_SECONDS
        reasons = Counter(why for view in waiting for why in self._why(view))
        lines = {_line(why, count) for why, count in reasons.items()}
        for line in sorted(lines - self._told):
            self.say(line)
        self._told = lines

    def _why(self, view: JobView) -> list[str]:
        lease, manifest = view.lease, self.manifests.get(view.id)
        if lease is not None and lease.model is not None:
            told = self._hold_ups.why(lease.tenant, lease.model, lease.batch)
            return told or _noted(lease)
        if manifest is not None:
            return self._hold_ups.why(manifest.tenant, manifest.model, manifest.batch)
        return self._hold_ups.why(None, None)


def _noted(lease: Lease) -> list[str]:
    """Why it was handed back: where the budgets are not known here, its lease has the numbers."""
    error = lease.error
    return [error.message] if error is not None and error.code in HELD_UP else []


def _line(why: str, count: int) -> str:
    return f"{count} job{'' if count == 1 else 's'} wait{'s' if count == 1 else ''}: {why}"
