"""What `ryla models diff | activate | rollback | history` do, on the volume of weights."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import structlog

from config.errors import InvalidInput
from config.settings import Settings
from config.tables import ModelTable
from pipeline.deployed.asked import asked
from pipeline.models.activation import (
    activate,
    candidate,
    changes,
    roll_back,
    sets_of,
    told,
    told_changes,
)
from pipeline.models.files import models_folder
from pipeline.models.sets import active_sets
from pipeline.models.versions import history, latest


def names_in(sets: str, models: ModelTable) -> tuple[str, ...]:
    """Names with spaces or commas between; all that are in use if there are none."""
    return tuple(sets.replace(",", " ").split()) or active_sets(models)


def switch(action: str, sets: str, to: int, commit: Callable[[], None]) -> Any:
    """A document of what there is, or of what was done; it is logged too, for who looks on.

    `to` is the version to roll back to, 0 for the one before. Raises InvalidInput for another
    action, or a ModelError.
    """
    with asked() as settings:
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
        return told_changes(changes(before, sets_of(models, names), folder), last, None)

    def put_in_use() -> Any:
        made = activate(models, names, folder, now)
        used = made or latest(folder)
        return {"changed": made is not None, **(told(used) if used else {})}

    actions: dict[str, Callable[[], Any]] = {
        "diff": diff,
        "activate": put_in_use,
        "rollback": lambda: told(roll_back(folder, now, to or None)),
        "history": lambda: [told(entry) for entry in history(folder)],
    }
    if action not in actions:
        raise InvalidInput(
            f"there is no action {action!r}",
            field="action",
            value=action,
            hint=f"There are: {', '.join(actions)}.",
        )
    return actions[action]()
