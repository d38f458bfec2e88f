"""One scheduled run of the dispatcher. A container serves many runs and keeps what they share."""

import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from functools import lru_cache

from config.settings import load_settings
from events.sender import Sender
from pipeline.deployed.deployment import RUN_S
from pipeline.deployed.mounted import Handle, look_again
from pipeline.deployed.parts import Parts, open_parts
from pipeline.dispatcher.loop import Bell, dispatch
from pipeline.dispatcher.tick import TickReport
from pipeline.models.versions import latest
from pipeline.notify.sinks import make_sink

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
def _runs(of_models: int) -> "Runs":  # noqa: ARG001  each version is read anew
    """Of this container."""
    return Runs(open_parts(os.environ, checked=True))


class Runs:
    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._wait_s: float | None = None
        """What the last run would have waited: an idle dispatcher goes on idling in the next."""

    def run(self, for_s: float) -> Mapping[str, int]:
        done: Counter[str] = Counter(ticks=0)

        def count(report: TickReport) -> None:
            fields = asdict(report)
            done.update({"ticks": 1, **{name: fields[name] for name in COUNTED}})

        sender = Sender(make_sink(self._parts.settings))
        try:
            self._wait_s = dispatch(
                self._parts.dispatcher(sender),
                Bell(),
                for_s=for_s,
                wait_s=self._wait_s,
                on_tick=count,
            )
        finally:
            sender.close(DRAIN_S)
        return dict(done)
