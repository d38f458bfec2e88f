"""Ticks when work was heard of, for a process that serves HTTP and polls nothing.

A POST or the doorbell notifies; one thread looks. Notices that come while it looks make it look
once more, so that none is lost and never two ticks run at once.
"""

import time
from collections.abc import Callable
from threading import Condition, Thread

import structlog

from config.errors import InvalidId, RylaError
from pipeline.contract.keys import parse_inbox_key
from pipeline.dispatcher.dispatcher import Dispatcher
from pipeline.dispatcher.tick import TickReport, tick

MAX_KEYS = 16
"""Of more entries than this, a LIST tells more cheaply."""


class DispatchThread:
    """Ticks of this dispatcher, in a thread of its own, from the first notice until close()."""

    def __init__(
        self,
        dispatcher: Dispatcher,
        monotonic: Callable[[], float] = time.monotonic,
        before: Callable[[], None] = lambda: None,
    ) -> None:
        """`before` is called before each look, in its thread."""
        self._dispatcher = dispatcher
        self._monotonic = monotonic
        self._before = before
        self._changed = Condition()
        self._notified = False
        self._keys: set[str] | None = set()
        """What was heard of; None is the whole inbox."""
        self._looking = False
        self._closing = False
        self._thread: Thread | None = None
        self._alone_until = float("-inf")
        """Until then nobody else is known to wait, so that one entry may be looked at alone."""

    def notify(self, key: str | None = None) -> None:
        """Have the bucket looked at: all of it, or leases and this inbox entry. Never waits."""
        with self._changed:
            if self._closing:
                return
            if key is None or not _names_a_job(key):
                self._keys = None
            elif self._keys is not None:
                self._keys.add(key)
                if len(self._keys) > MAX_KEYS:
                    self._keys = None
            self._notified = True
            if self._thread is None:
                self._thread = Thread(target=self._work, name="dispatch", daemon=True)
                self._thread.start()
            self._changed.notify()

    @property
    def busy(self) -> bool:
        """Whether a notice is still to be seen to."""
        with self._changed:
            return self._notified or self._looking

    def close(self, timeout_s: float = 30.0) -> None:
        """See to what it was notified of, for at most `timeout_s`, then end; whoever polls finds
        what is left."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join(timeout_s)

    def _work(self) -> None:
        while True:
            with self._changed:
                self._looking = False
                self._changed.wait_for(lambda: self._notified or self._closing)
                if not self._notified:
                    return
                keys, self._keys = self._keys, set()
                self._notified, self._looking = False, True
            self._look(keys)

    def _look(self, keys: set[str] | None) -> None:
        now = self._monotonic()
        changed_keys = keys if keys is not None and now < self._alone_until else ()
        log = structlog.get_logger(__name__)
        try:
            self._before()
            report = tick(self._dispatcher, changed_keys)
        except RylaError as error:
            log.warning("tick_failed", code=error.code, error=error.message)
            self._alone_until = float("-inf")
        except Exception:  # the thread must outlive what it runs
            log.exception("tick_broke")
            self._alone_until = float("-inf")
        else:
            self._learn(report, now, whole=not changed_keys)

    def _learn(self, report: TickReport, now: float, *, whole: bool) -> None:
        """One that came last must not be served before others that wait for a place."""
        if report.more or report.waiting > report.claimed:
            self._alone_until = float("-inf")
        elif whole:
            self._alone_until = now + self._dispatcher.runtime.settings.poll_idle_seconds


def _names_a_job(key: str) -> bool:
    try:
        parse_inbox_key(key)
    except InvalidId:
        return False
    return True
