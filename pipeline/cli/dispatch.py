"""`ryla dispatch`: a dispatcher, with workers on this machine or on a platform."""

import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Annotated

import structlog
import typer

from config.errors import StoreError, StoreUnavailable
from config.platforms import LOCAL
from config.settings import Settings, listed
from events.sender import Sender
from handlers.media.intake_process import IntakeProcess
from pipeline.cli import output
from pipeline.cli.options import Json, StateDir, bucket_settings
from pipeline.contract.lease import Lease
from pipeline.dispatcher.dispatcher import Dispatcher
from pipeline.dispatcher.engine import Engine
from pipeline.dispatcher.hand_back import hand_back, hand_back_lost
from pipeline.dispatcher.loop import Wakeup, dispatch
from pipeline.dispatcher.memory import DispatcherMemory
from pipeline.dispatcher.reclaim import Owner, reclaim
from pipeline.dispatcher.tick import TickReport, tick
from pipeline.engines.engines import open_engines
from pipeline.engines.own_machine import on_this_machine
from pipeline.jobs.status import LeaseWatch, State
from pipeline.notify.sinks import make_sink
from pipeline.notify.spend_note import note_new_bucket
from pipeline.queue.spawn import SpawnPayload
from pipeline.runtime import load_runtime
from pipeline.store.conditional import SafeStore
from pipeline.store.open import open_checked_store
from system.backoff import Backoff

HELP = """Take jobs from the inbox and run them, in worker processes on this machine or where
RYLA_ENGINE says.

--once looks once, --for goes on looking for so long; without either it goes on until Ctrl-C. Then
it waits for the jobs that it has started, --drain seconds at most. What still runs after that, or
at Ctrl-C, is handed back and goes on with whoever dispatches next.

Before it starts it checks that the bucket's conditional writes are really conditional. While the
store is away it waits for it, and says so; with --once it ends with an error instead.

Examples:

    ryla dispatch --once

    ryla dispatch --for 300 --json
"""
POLL_SECONDS = 0.5
CLOSE_SECONDS = 10.0
STORE_BACKOFF = Backoff(first_s=1.0, longest_s=30.0)
AT_WORK = (State.CLAIMED, State.RUNNING)


@dataclass
class Tally:
    """An engine that remembers which jobs it was given."""

    engine: Engine
    ids: set[str] = field(default_factory=set)

    def submit(self, route: str, payload: SpawnPayload) -> str | None:
        call_id = self.engine.submit(route, payload)
        self.ids.add(payload.id)
        return call_id

    def cancel(self, call_id: str) -> None:
        self.engine.cancel(call_id)


def register(app: typer.Typer) -> None:
    @app.command("dispatch", help=HELP)
    @output.command
    def command(
        once: Annotated[bool, typer.Option("--once", help="One tick.")] = False,
        for_s: Annotated[
            float | None, typer.Option("--for", metavar="SECONDS", min=0, help="Tick so long.")
        ] = None,
        drain: Annotated[
            float,
            typer.Option("--drain", metavar="SECONDS", min=0, help="Longest wait for its jobs."),
        ] = 600,
        state_dir: StateDir = None,
        json: Json = False,
    ) -> None:
        if once and for_s is not None:
            raise typer.BadParameter("--once and --for exclude each other")
        settings = bucket_settings(state_dir, log_level="info")
        report = _reporter(json)
        with _stopped_by_signals() as wakeup, ExitStack() as parts:
            store = _open_store(settings, wakeup, 0.0 if once else for_s)
            if store is None:
                return
            dispatcher, tally = parts.enter_context(_dispatcher(settings, store))
            if once:
                report(tick(dispatcher))
            else:
                dispatch(dispatcher, wakeup, for_s=for_s, on_tick=report)
            _drain(dispatcher.store, tally, wakeup, time.monotonic() + drain)


def _open_store(settings: Settings, wakeup: Wakeup, within_s: float | None) -> SafeStore | None:
    """The store, as soon as it answers; None when it is time to stop first.

    A machine may start before its store does, and a dispatcher that runs waits for it too. Raises
    StoreUnavailable when it is still away after `within_s`.
    """
    until, pauses = time.monotonic() + (within_s or 0.0), STORE_BACKOFF.pauses()
    while not wakeup.stopped:
        try:
            store = open_checked_store(settings)
            note_new_bucket(store)
            return store
        except StoreUnavailable as error:
            pause_s = next(pauses)
            if within_s is not None and time.monotonic() + pause_s > until:
                raise
            log = structlog.get_logger(__name__)
            log.warning("store_away", error=error.message, next_try_s=pause_s)
            wakeup.wait(pause_s)
    return None


@contextmanager
def _dispatcher(settings: Settings, store: SafeStore) -> Iterator[tuple[Dispatcher, Tally]]:
    runtime = load_runtime(settings, settings.engine)
    machine, owner = None, Owner("cli", socket.gethostname(), os.getpid())
    if LOCAL in {settings.engine, *listed(settings.platforms)}:
        runtime, machine = on_this_machine(runtime, os.environ)
        _reclaim(store, owner, settings)
    memory = DispatcherMemory()
    lost = partial(hand_back_lost, store, settings, memory.lease_cache)
    engine = open_engines(settings, runtime.routes, os.environ, lost, machine)
    try:
        with (
            Sender(make_sink(settings)) as sender,
            ThreadPoolExecutor(settings.dispatch_threads) as pool,
            closing(IntakeProcess()) as pictures,
        ):
            tally = Tally(engine)
            intake = pictures.intake
            dispatcher = Dispatcher(
                *(store, tally, sender, runtime, pool, str(owner), memory),
                intake=intake,
                platforms=engine.platforms,
            )
            yield dispatcher, tally
    finally:
        hand_back(store, engine.close())


def _reclaim(store: SafeStore, owner: Owner, settings: Settings) -> None:
    """What a dispatcher of this machine has left that was killed. Without it, leases lapse."""

    def is_left(lease: Lease) -> bool:
        return owner.inherits(lease, settings.engine)

    try:
        reclaim(store, is_left, settings.dispatch_threads)
    except StoreError as error:
        structlog.get_logger(__name__).warning("not_reclaimed", error=error.message)


@contextmanager
def _stopped_by_signals() -> Iterator[Wakeup]:
    wakeup = Wakeup()
    before = {
        number: signal.signal(number, lambda *_: wakeup.stop())
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield wakeup
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _drain(store: SafeStore, tally: Tally, wakeup: Wakeup, until: float) -> None:
    """Wait until the jobs that were started here have ended and their events are out."""
    watch = LeaseWatch(store)
    while tally.ids and not wakeup.stopped and time.monotonic() < until:
        views = watch.look()
        if not any(id in tally.ids and view.state in AT_WORK for id, view in views.items()):
            return
        wakeup.wait(POLL_SECONDS)


def _reporter(as_json: bool) -> Callable[[TickReport], None]:
    """Prints every report as JSON; for people, what changed."""
    last: dict[str, object] | None = None

    def report(ticked: TickReport) -> None:
        nonlocal last
        if as_json:
            output.print_json(asdict(ticked), line=True)
            return
        now = {name: value for name, value in asdict(ticked).items() if value}
        told = {name: value for name, value in now.items() if name not in ("lists", "reads")}
        if told != last:
            last = told
            said = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in told.items())
            output.print_text(f"{time.strftime('%H:%M:%S')}  {said or 'idle'}")

    return report
