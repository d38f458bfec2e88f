"""The functions that a person runs and watches, or that keep a volume in order: downloads weights,
switches between their versions, and keeps the volume of LoRAs within its size."""

import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import structlog

from config.errors import InvalidInput, RylaError
from config.logs import configure_logs
from config.models import ModelTable, WeightFile
from config.settings import Settings, load_settings
from pipeline.loras.cache import evict, lora_folder
from pipeline.modal_app.mounted import Handle, MountedVolume
from pipeline.models.activation import (
    activate,
    candidate,
    changes,
    changes_document,
    roll_back,
    sets_of,
    version_document,
)
from pipeline.models.hub import Hub, HuggingFace
from pipeline.models.models_folder import models_folder
from pipeline.models.pull import Pulled, prepare, pull, require_alone, require_space
from pipeline.models.sets import active_sets
from pipeline.models.versions import history, is_aside, latest


@contextmanager
def operator_call() -> Iterator[Settings]:
    """Of this container. An error's hint is logged: the platform shows its message alone."""
    settings = load_settings(os.environ)
    configure_logs(settings)
    try:
        yield settings
    except RylaError as error:
        log = structlog.get_logger(__name__)
        log.error("failed", code=error.code, error=error.message, hint=error.hint)
        raise


def names_in(sets: str, models: ModelTable) -> tuple[str, ...]:
    """Names with spaces or commas between; all that are in use if there are none."""
    return tuple(sets.replace(",", " ").split()) or active_sets(models)


def switch(action: str, sets: str, to: int, commit: Callable[[], None]) -> Any:
    """A document of what there is, or of what was done; it is logged too, for who looks on.

    `to` is the version to roll back to, 0 for the one before. Raises InvalidInput for another
    action, or a ModelError.
    """
    with operator_call() as settings:
        document = _done(action, sets, to, settings)
        commit()
    structlog.get_logger(__name__).info("models", action=action, answer=document)
    return document


def _done(action: str, sets: str, to: int, settings: Settings) -> Any:
    folder = models_folder(settings)
    models = candidate(settings.models_file, folder)
    names, now = names_in(sets, models), datetime.now(UTC)

    def diff() -> Any:
        last = latest(folder)
        before = {name: last.sets[name] for name in names if last and name in last.sets}
        return changes_document(changes(before, sets_of(models, names), folder), last, None)

    def put_in_use() -> Any:
        made = activate(models, names, folder, now)
        used = made or latest(folder)
        return {"changed": made is not None, **(version_document(used) if used else {})}

    actions: dict[str, Callable[[], Any]] = {
        "diff": diff,
        "activate": put_in_use,
        "rollback": lambda: version_document(roll_back(folder, now, to or None)),
        "history": lambda: [version_document(entry) for entry in history(folder)],
    }
    if action not in actions:
        raise InvalidInput(
            f"there is no action {action!r}",
            field="action",
            value=action,
            hint=f"There are: {', '.join(actions)}.",
        )
    return actions[action]()


STREAMS = 4
"""Files that come at a time."""
TOLD_EVERY = 2**30
"""Bytes of a file between two lines of the log."""


def download(
    sets: str, accept_licences: bool, commit: Callable[[], None], hub: Hub | None = None
) -> list[dict[str, Any]]:
    """Pull what is missing of these sets (names with spaces or commas between; all that are in
    use if there are none), several at a time, each committed as soon as it is whole.

    What is returned can be written into a table of one's own. Raises a ModelError, or InvalidInput
    with the licences that were not accepted.
    """
    with operator_call() as settings:
        folder = models_folder(settings)
        models = candidate(settings.models_file, folder)
        hub = hub or HuggingFace()
        wanted = prepare(models.files(names_in(sets, models)).values(), folder, hub)
        require_alone(wanted, time.time())
        require_space(wanted, folder)
        if wanted and not accept_licences:
            raise _not_accepted(each.weight for each in wanted)
        done = []
        for pulled in pull(wanted, hub, _teller(), STREAMS):
            commit()
            facts = _facts(pulled)
            structlog.get_logger(__name__).info("pulled", weights=pulled.weight.name, **facts)
            done.append({"name": pulled.weight.name, **facts, "seconds": round(pulled.seconds, 1)})
        return done


def _facts(pulled: Pulled) -> dict[str, Any]:
    weight = pulled.weight
    facts = {"bytes": pulled.bytes, "sha256": pulled.sha256, "revision": pulled.revision}
    # Once its checksum is in the table, a file that lies aside would be looked for elsewhere.
    aside = weight.sha256 is None and is_aside(weight)
    return {**facts, "file": weight.file} if aside else facts


def _not_accepted(weights: Iterable[WeightFile]) -> InvalidInput:
    licences = sorted({f"{weight.licence} ({weight.name})" for weight in weights})
    return InvalidInput(
        f"these licences are to be accepted: {', '.join(licences)}",
        field="accept_licences",
        hint="Read them where the files come from, then give --accept-licences.",
    )


def _teller() -> Callable[[WeightFile, int], None]:
    """Progress for a log that nobody may be watching."""
    logged: dict[str, int] = {}

    def tell(weight: WeightFile, done: int) -> None:
        if done - logged.get(weight.name, -TOLD_EVERY) >= TOLD_EVERY:
            logged[weight.name] = done
            log = structlog.get_logger(__name__)
            log.info("pulling", weights=weight.name, bytes=done, of=weight.bytes)

    return tell


def evict_loras(loras: Handle) -> int:
    """How many files went. Raises VolumeBusy."""
    with operator_call() as settings:
        volume = MountedVolume(lora_folder(settings), loras)
        return len(evict(volume, int(settings.lora_cache_gib * 2**30), now=time.time()))
