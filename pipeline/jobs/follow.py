"""Follows jobs to their ends with one LIST a look."""

from collections.abc import Collection
from dataclasses import dataclass, field
from itertools import cycle, islice

from pipeline.jobs.status import JobView, LeaseWatch, State, read_result
from pipeline.store.conditional import SafeStore

ASKS = 16
"""Results asked for in one look, of jobs that were not seen in progress."""


@dataclass
class Follower:
    """The jobs `ids`, looked at until all are finished; `views` has the last that was seen of each.

    A job whose lease went is asked for its result at once. One that was never seen with a lease may
    be waiting, or may have come and gone between two looks: those are asked in turns.
    """

    store: SafeStore
    ids: Collection[str]
    views: dict[str, JobView] = field(init=False)

    def __post_init__(self) -> None:
        self._watch = LeaseWatch(self.store)
        self._turn = cycle(self.ids)
        self.views = {id: JobView(id, State.WAITING) for id in self.ids}

    @property
    def done(self) -> bool:
        return all(view.finished for view in self.views.values())

    def look(self) -> None:
        """One LIST of leases, a GET for each that changed, one for the result of each job whose
        lease went, and of at most ASKS that never had one. Raises StoreUnavailable or
        StoreDenied."""
        leases = self._watch.look()
        unseen = []
        for id, view in self.views.items():
            if view.finished:
                continue
            if id in leases and leases[id].state is not State.DELIVERING:
                self.views[id] = leases[id]
            elif view.state is State.WAITING:
                unseen.append(id)
            else:
                self._ask(id)
        self._ask_in_turn(set(unseen))

    def _ask_in_turn(self, unseen: set[str]) -> None:
        turn = (id for id in islice(self._turn, len(self.ids)) if id in unseen)
        for id in islice(turn, ASKS):
            self._ask(id)

    def _ask(self, id: str) -> None:
        # Without lease and without result it may be waiting again, as after a stranger's hand.
        self.views[id] = read_result(self.store, id) or JobView(id, State.WAITING)
