"""Sends orders, so many at a time, and follows them to their ends."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from config.errors import IdConflict
from pipeline.acceptance.estimate import PricedJob, over
from pipeline.jobs.follow import Follower
from pipeline.jobs.status import JobView, State, look_up
from pipeline.store.conditional import SafeStore

LOOK_SECONDS = 1.0


@dataclass
class Progress:
    """Where the jobs of a run are."""

    priced_jobs: Sequence[PricedJob]
    views: dict[str, JobView] = field(default_factory=dict)
    """Of those that are sent."""
    stopped: str | None = None
    """Why no more are sent."""

    @property
    def unsent(self) -> list[PricedJob]:
        return [priced for priced in self.priced_jobs if priced.job.id not in self.views]

    @property
    def under_way(self) -> list[PricedJob]:
        return [
            priced
            for priced in self.priced_jobs
            if (view := self.views.get(priced.job.id)) is not None and not view.finished
        ]

    @property
    def spent_usd(self) -> float:
        """By jobs that are finished, with their lost attempts."""
        costs = (view.result.cost for view in self.views.values() if view.result is not None)
        return sum(cost.total_usd for cost in costs if cost is not None)


@dataclass(frozen=True)
class Driver:
    store: SafeStore
    at_once: int
    bound_usd: float | None
    """For all that the run costs; what other parts of it spent comes in as `spent_usd`."""
    patience_s: float
    """How long nothing may happen to any job before it is given up."""
    sleep: Callable[[float], None] = time.sleep
    monotonic: Callable[[], float] = time.monotonic
    look_s: float = LOOK_SECONDS

    def found(self, priced_jobs: Sequence[PricedJob]) -> Progress:
        """What an earlier run under this name has sent. Raises IdConflict if with another plan."""
        seen = look_up(self.store, [priced.job.id for priced in priced_jobs])
        for priced in priced_jobs:
            result = seen[priced.job.id].result
            if result is not None and result.manifest_sha256 != priced.prepared.sha256:
                raise IdConflict(
                    f"{priced.job.id} was made from another plan",
                    field="id",
                    value=priced.job.id,
                    hint="Give this run another name with --run.",
                )
        there = {id: view for id, view in seen.items() if view.state is not State.UNKNOWN}
        return Progress(priced_jobs, there)

    def drive(
        self,
        progress: Progress,
        send: Callable[[PricedJob], None],
        *,
        spent_usd: float = 0.0,
        on_look: Callable[[Progress], None] = lambda _: None,
    ) -> None:
        """Until all are finished, the money is, or nothing happens any more."""
        follower, seen, since = self._following(progress), "", self.monotonic()
        while True:
            if self._send_some(progress, send, spent_usd):
                follower = self._following(progress)
            follower.look()
            progress.views = follower.views
            on_look(progress)
            if not progress.under_way and (progress.stopped or not progress.unsent):
                return
            if (state := _state(progress.views)) != seen:
                seen, since = state, self.monotonic()
            if self.monotonic() - since > self.patience_s:
                progress.stopped = f"nothing happened to any job for {self.patience_s:g} s"
                return
            self.sleep(self.look_s)

    def slowed(self) -> "Driver":
        """One job at a time."""
        return replace(self, at_once=1)

    def _following(self, progress: Progress) -> Follower:
        follower = Follower(self.store, list(progress.views))
        follower.views = dict(progress.views)
        return follower

    def _send_some(
        self, progress: Progress, send: Callable[[PricedJob], None], spent_usd: float
    ) -> bool:
        """Whether any was sent. One that is too dear beside what is under way waits for its end."""
        sent = False
        for priced in progress.unsent[: max(0, self.at_once - len(progress.under_way))]:
            spent, coming = spent_usd + progress.spent_usd, [*progress.under_way, priced]
            refusal = over(self.bound_usd, spent, coming)
            if refusal is not None and not progress.under_way:
                progress.stopped = refusal.message
            if refusal is not None or progress.stopped:
                break
            send(priced)
            progress.views[priced.job.id] = JobView(priced.job.id, State.WAITING)
            sent = True
        return sent


def _state(views: Mapping[str, JobView]) -> str:
    """Another text whenever anything has happened."""
    return repr(
        [(id, view.state, view.lease.seq if view.lease else None) for id, view in views.items()]
    )
