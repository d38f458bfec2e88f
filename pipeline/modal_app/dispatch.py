"""One scheduled run of the dispatcher. A container serves many runs, and keeps what they share."""

import os
import socket
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from functools import lru_cache

from config.errors import InvalidSetting
from config.logs import configure_logs
from config.platforms import MODAL
from config.settings import Settings, changed, load_settings, variable
from events.sender import Sender
from handlers.media.intake_process import IntakeProcess
from pipeline.dispatcher.dispatcher import Dispatcher
from pipeline.dispatcher.engine import Engine
from pipeline.dispatcher.loop import Wakeup, dispatch
from pipeline.dispatcher.memory import DispatcherMemory
from pipeline.dispatcher.tick import TickReport
from pipeline.engines.engines import open_engines
from pipeline.modal_app.modal_deployment import RUN_S
from pipeline.modal_app.mounted import Handle, look_again
from pipeline.models.versions import latest
from pipeline.notify.sinks import make_sink
from pipeline.notify.spend_note import note_new_bucket
from pipeline.runtime import RuntimeConfig, load_runtime
from pipeline.store.conditional import SafeStore
from pipeline.store.open import open_checked_store, open_store


@dataclass(frozen=True)
class DispatchDependencies:
    """What the runs of a container share."""

    settings: Settings
    runtime: RuntimeConfig
    store: SafeStore
    engine: Engine
    platforms: frozenset[str] = frozenset()
    """On which the engine can spawn."""
    memory: DispatcherMemory = field(default_factory=DispatcherMemory)
    pictures: IntakeProcess = field(default_factory=IntakeProcess)

    def dispatcher(self, sender: Sender, pool: ThreadPoolExecutor) -> Dispatcher:
        """Whoever ticks shuts the sender and the pool down."""
        owner = f"{MODAL}@{socket.gethostname()}:{os.getpid()}"
        return Dispatcher(
            self.store,
            self.engine,
            sender,
            self.runtime,
            pool,
            owner,
            memory=self.memory,
            intake=self.pictures.intake,
            platforms=self.platforms,
        )


def open_dependencies(
    environ: Mapping[str, str], *, checked: bool, threads: int = 0
) -> DispatchDependencies:
    """`checked` makes sure that the bucket can be the queue; else no request is made. `threads` use
    the bucket beside the dispatcher.

    Raises InvalidSetting; checked, also a StoreError.
    """
    settings = load_settings(environ)
    configure_logs(settings)
    _require_posthog(settings)
    runtime = load_runtime(settings, MODAL)
    engines = open_engines(changed(settings, engine=MODAL), runtime.routes, environ)
    store = open_checked_store(settings, threads) if checked else open_store(settings, threads)
    if checked:
        note_new_bucket(store)
    return DispatchDependencies(
        settings,
        runtime,
        store,
        engines,
        engines.platforms,
    )


def _require_posthog(settings: Settings) -> None:
    """A secret may hold a blank key. Without one, events would go to a file that dies with the
    container; while nothing is claimed, nothing is lost."""
    if settings.posthog_api_key is None:
        name = variable("posthog_api_key")
        raise InvalidSetting(
            f"{name} is blank",
            field=name,
            hint=f"modal secret create --force ryla-posthog {name}=phc_..., then deploy again.",
        )


DRAIN_S = 5.0
"""How long events may take to go out at the end of a run; the next run replays the rest."""
COUNTED = ("spawned", "taken_over", "committed", "cleaned", "rejected", "failed", "lists", "reads")


def run(weights: Handle) -> Mapping[str, int]:
    """Ticks for most of a minute; what they did, added up. Raises a StoreError."""
    return _runs(models_version(weights)).run(RUN_S)


def models_version(weights: Handle) -> int:
    """Of the weights that are in use now: this container may have started before they were."""
    folder = load_settings(os.environ).models_dir
    if folder is None:
        return 0
    look_again(folder, weights)
    version = latest(folder)
    return version.number if version else 0


@lru_cache(maxsize=1)
def _runs(of_models: int) -> "ScheduledRuns":  # noqa: ARG001  each version is read anew
    """Of this container."""
    return ScheduledRuns(open_dependencies(os.environ, checked=True))


class ScheduledRuns:
    def __init__(self, dependencies: DispatchDependencies) -> None:
        self._dependencies = dependencies
        self._idle_ticks = 0
        """In a row at the end of the last run: an idle dispatcher goes on idling."""

    def run(self, for_s: float) -> Mapping[str, int]:
        """Tick for `for_s` seconds. What the ticks did, added up: `ticks`, and the COUNTED fields
        of TickReport. Raises a StoreError."""
        done: Counter[str] = Counter(ticks=0)

        def count(report: TickReport) -> None:
            fields = asdict(report)
            done.update({"ticks": 1, **{name: fields[name] for name in COUNTED}})

        settings = self._dependencies.settings
        sender = Sender(make_sink(settings))
        try:
            with ThreadPoolExecutor(settings.dispatch_threads) as pool:
                self._idle_ticks = dispatch(
                    self._dependencies.dispatcher(sender, pool),
                    Wakeup(),
                    for_s=for_s,
                    idle_ticks=self._idle_ticks,
                    on_tick=count,
                )
        finally:
            sender.close(DRAIN_S)
            self._dependencies.pictures.close()
        return dict(done)
