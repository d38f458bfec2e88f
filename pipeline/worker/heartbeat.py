"""Keeps a running job's lease: renews it in time with the progress, and says when it is lost, and
when an operator has stopped its job."""

import time
from collections.abc import Callable
from threading import Condition, Thread
from typing import Self, TypeVar

import structlog

from config.errors import RylaError, Stopped, StoreUnavailable, Superseded
from config.settings import Settings
from pipeline.contract.keys import lease_key
from pipeline.contract.lease import Lease, Progress
from pipeline.queue.stops import read_stops, stopped
from pipeline.store.conditional import SafeStore, Won

T = TypeVar("T")


class Heartbeat:
    """A context manager around an execution. `lost` is final: stop, and write nothing more."""

    def __init__(
        self,
        store: SafeStore,
        lease: Lease,
        etag: str,
        settings: Settings,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        on_renewal: Callable[[Lease], None] = lambda _: None,
    ) -> None:
        """`on_renewal` hears of each lease that was written."""
        self._store = store
        self._lease = lease
        self._etag = etag
        self._settings = settings
        self._monotonic = monotonic
        self._on_renewal = on_renewal
        self._progress = lease.progress
        self._views: dict[str, str] = {}
        self._renewed_at = monotonic()
        self._unclear: Lease | None = None
        """A renewal that may have been applied: only the same bytes can be known as ours."""
        self._lost = False
        self._halted: Stopped | None = None
        self._over = Condition()
        self._ended = False
        self._thread = Thread(target=self._beat, name=f"lease-{lease.id}", daemon=True)

    @property
    def lost(self) -> bool:
        """Whether another execution has the job, or it could not be renewed for as long as it
        lives."""
        return self._lost

    @property
    def halted(self) -> Stopped | None:
        """Set once a renewal has found that an operator stops jobs like this one."""
        return self._halted

    @property
    def held(self) -> tuple[Lease, str]:
        """The lease and its ETag as last written. Steady once the heartbeat has ended."""
        return self._lease, self._etag

    def report(self, fraction: float, step: str | None) -> None:
        """What the next renewal will tell: a fraction from 0 to 1, and a node class or a step of
        ours."""
        self._progress = Progress(
            fraction=min(max(fraction, 0.0), 1.0), step=step, views=self._views
        )

    def show_views(self, views: dict[str, str]) -> None:
        """How far each view of a character sheet is, for the next renewals to tell."""
        self._views = views
        self._progress = (self._progress or Progress()).model_copy(update={"views": views})

    def insist(self, call: Callable[[], T]) -> T:
        """Repeat a store call until it is clear: what a GPU made is not thrown away for a store
        that is away for a while. Raises Superseded once the lease is lost."""
        while True:
            try:
                return call()
            except StoreUnavailable as error:
                if self._lost:
                    raise Superseded(f"the lease was lost: {error.message}") from error

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._over:
            self._ended = True
            self._over.notify()
        self._thread.join()

    def _beat(self) -> None:
        wait_s = self._settings.first_renew_seconds
        while not self._rest(wait_s) and not self._lost:
            self._renew()
            self._look_for_stop()
            wait_s = self._settings.renew_seconds

    def _rest(self, seconds: float) -> bool:
        with self._over:
            return self._over.wait_for(lambda: self._ended, seconds)

    def _renew(self) -> None:
        lease = self._unclear or self._lease.with_(progress=self._progress)
        log = structlog.get_logger(__name__).bind(job=lease.id)
        try:
            outcome = self._store.replace(lease_key(lease.id), lease.body(), self._etag)
        except RylaError as error:
            # Others may take it over once it lapses, so an unreachable store ends the job too.
            since = self._monotonic() - self._renewed_at
            self._lost = since > self._settings.running_seconds
            self._unclear = lease
            log.warning("lease_not_renewed", code=error.code, since_s=round(since, 1))
            return
        if isinstance(outcome, Won):
            self._lease, self._etag, self._unclear = lease, outcome.etag, None
            self._renewed_at = self._monotonic()
            self._on_renewal(lease)
        else:
            self._lost = True
            log.warning("lease_lost")

    def _look_for_stop(self) -> None:
        try:
            scope = read_stops(self._store).over(self._lease.tenant, self._lease.model)
        except RylaError:
            return  # the next renewal looks again
        if scope is not None and self._halted is None:
            self._halted = stopped(scope)
