"""Ticks within one scheduled run, so that a job waits a second or two and not for the next run."""

import time
from collections.abc import Callable
from threading import Event

import structlog

from config.errors import RylaError, StoreDenied, StoreNotConditional
from config.settings import Settings
from pipeline.dispatcher.dispatcher import Dispatcher
from pipeline.dispatcher.tick import TickReport, tick
from system.backoff import Backoff

GROWTH = 1.5
"""Each idle tick waits so many times longer than the one before, up to poll_idle_seconds."""


def next_wait(idle_ticks: int, settings: Settings) -> float:
    """Seconds until the next tick, after so many `idle_ticks` in a row that found nothing to do."""
    backoff = Backoff(settings.poll_active_seconds, settings.poll_idle_seconds, GROWTH)
    return backoff.pause_s(idle_ticks + 1)


class Wakeup:
    """Cuts the wait between two ticks short: because work was heard of, or because it is time to
    stop. Usable from any thread, and from a signal handler."""

    def __init__(self) -> None:
        self._notified = Event()
        self.stopped = False

    def notify(self) -> None:
        self._notified.set()

    def stop(self) -> None:
        self.stopped = True
        self._notified.set()

    def wait(self, timeout_s: float) -> bool:
        """Whether it was notified before the time was over."""
        notified = self._notified.wait(timeout_s)
        self._notified.clear()
        return notified


def dispatch(
    dispatcher: Dispatcher,
    wakeup: Wakeup,
    *,
    for_s: float | None = None,
    idle_ticks: int = 0,
    on_tick: Callable[[TickReport], None] | None = None,
) -> int:
    """Tick until `wakeup` says stop, or for `for_s` seconds. How many ticks in a row were idle.

    `idle_ticks` are those of an earlier run: an idle dispatcher that starts anew goes on idling. A
    store that is briefly away is waited for; one that refuses us, or that is no queue, ends it:
    StoreDenied, StoreNotConditional.
    """
    settings = dispatcher.runtime.settings
    ends = None if for_s is None else time.monotonic() + for_s
    while not wakeup.stopped:
        report = _try_tick(dispatcher)
        if report is not None and on_tick is not None:
            on_tick(report)
        idle_ticks = 0 if report is not None and report.active else idle_ticks + 1
        wait_s = next_wait(idle_ticks, settings)
        if ends is not None and time.monotonic() + wait_s >= ends:
            return idle_ticks
        if wakeup.wait(wait_s):
            idle_ticks = 0
    return idle_ticks


def _try_tick(dispatcher: Dispatcher) -> TickReport | None:
    try:
        report = tick(dispatcher)
    except (StoreDenied, StoreNotConditional):
        raise
    except RylaError as error:
        structlog.get_logger(__name__).warning("tick_failed", code=error.code, error=error.message)
        return None
    dispatcher.memory.deploy_event.send_due(dispatcher.store, dispatcher.sender, dispatcher.runtime)
    dispatcher.memory.rejection_events.send_due(dispatcher.store, dispatcher.sender)
    dispatcher.memory.owed_alarms.send_due(dispatcher.alarm_post)
    return report
