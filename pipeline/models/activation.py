"""Decides which weights are in use: what would change, the switch to it, and the way back."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from config.errors import ModelError, ModelNotFound
from config.models import ModelTable, WeightFile, load_models
from config.settings import Settings
from pipeline.models.models_folder import Local, State, glance, models_folder
from pipeline.models.versions import (
    Sets,
    Version,
    append,
    files_kept,
    history,
    in_use,
    latest,
    placed,
    same_file,
)


def models_in_use(settings: Settings) -> ModelTable:
    """What graphs are built on: models.toml, under the version that was activated last.

    Read once at the start of a process. Raises InvalidSetting.
    """
    table = load_models(settings.models_file)
    if settings.models_dir is None and settings.comfyui_dir is None:
        return table
    return in_use(table, latest(models_folder(settings)))


def candidate(models_file: Path | None, folder: Path | None) -> ModelTable:
    """What models.toml says now: what `pull` downloads and `activate` switches to.

    With `folder`, each file where none of a kept version lies. Raises InvalidSetting or ModelError.
    """
    table = load_models(models_file if models_file and models_file.exists() else None)
    return table if folder is None else placed(table, files_kept(folder))


@dataclass(frozen=True)
class Change:
    """One role of a set, now and then."""

    set: str
    role: str
    before: WeightFile | None
    after: WeightFile | None
    here: Local | None
    """`after` in the models folder."""

    @property
    def differs(self) -> bool:
        """Whether other bytes stand behind the role, as far as that is known."""
        if self.before is None or self.after is None:
            return True
        return not same_file(self.before, self.after)

    @property
    def to_download(self) -> int | None:
        """Bytes; None if their number is not known."""
        if self.after is None or self.here is None or _usable(self.here):
            return 0
        return self.after.bytes


def changes(before: Sets, after: Sets, folder: Path) -> Iterator[Change]:
    """Role by role, those that stay the same too."""
    for name in dict.fromkeys((*before, *after)):
        old, new = before.get(name, {}), after.get(name, {})
        for role in dict.fromkeys((*old, *new)):
            weight = new.get(role)
            here = None if weight is None else glance(folder, weight)
            yield Change(name, role, old.get(role), weight, here)


def sets_of(table: ModelTable, names: Iterable[str]) -> Sets:
    """Raises MissingModel for a set that the table lacks."""
    return {name: table.weights(name) for name in names}


def activate(
    table: ModelTable, names: Iterable[str], folder: Path, now: datetime
) -> Version | None:
    """Put these sets in use as the table has them, and leave the others. None: they are already.

    Raises ModelNotFound when a file of theirs is not in the folder, ModelsChanged, or ModelError.
    """
    wanted = sets_of(table, names)
    last = latest(folder)
    now_used: Sets = last.sets if last else {}
    _require_here(wanted, folder, "Run `ryla models pull` for these sets first.")
    before = {name: now_used.get(name, {}) for name in wanted}
    if not any(each.differs for each in changes(before, wanted, folder)):
        return None
    number = last.number + 1 if last else 1
    version = Version(number=number, action="activate", at=now, sets={**now_used, **wanted})
    append(folder, version)
    return version


def roll_back(folder: Path, now: datetime, to: int | None = None) -> Version:
    """Put an earlier version in use: `to`, else the one before. Nothing is downloaded or deleted.

    Rolled back again, it goes further back. Raises ModelError, ModelNotFound or ModelsChanged.
    """
    entries = {entry.number: entry for entry in history(folder)}
    if not entries:
        raise ModelError(
            "no version was ever activated here",
            value=str(folder),
            hint="Run `ryla models activate` once, before anything is changed: that is what a"
            " rollback goes back to.",
        )
    last = entries[max(entries)]
    # A rollback stands for what it went back to.
    before = max((number for number in entries if number < last.origin), default=0)
    target = entries.get(before if to is None else to)
    if target is None or target is last:
        others = ", ".join(str(number) for number in entries if number != last.number) or "none"
        what = "there is no earlier version" if to is None else f"there is no other version {to}"
        raise ModelError(what, value=to or None, hint=f"There are: {others}.")
    _require_here(target.sets, folder, "Put them back; a rollback downloads nothing.")
    version = Version(
        number=last.number + 1,
        action="rollback",
        back_to=target.origin,
        at=now,
        sets=target.sets,
    )
    append(folder, version)
    return version


def _require_here(sets: Sets, folder: Path, hint: str) -> None:
    files = {(w.folder, w.file): w for roles in sets.values() for w in roles.values()}
    lacking = [each for each in (glance(folder, w) for w in files.values()) if not _usable(each)]
    if lacking:
        names = ", ".join(
            f"{each.weight.folder}/{each.weight.file} ({each.why or each.state})"
            for each in lacking
        )
        raise ModelNotFound(f"not in {folder}: {names}", hint=hint)


def _usable(here: Local) -> bool:
    return here.state in (State.OK, State.UNPROVEN)


def version_document(version: Version) -> dict[str, Any]:
    """As JSON; `sets` are fingerprints."""
    return {
        "version": version.number,
        "action": version.action,
        "back_to": version.back_to,
        "at": version.at.isoformat(),
        "sets": version.fingerprints,
    }


def changes_document(
    found: Iterable[Change], last: Version | None, against: int | None
) -> dict[str, Any]:
    """`against` is the version that they lead to, None for models.toml as it is."""
    changes: Sequence[Change] = [each for each in found if each.differs]
    return {
        "in_use": last.number if last else None,
        "with": against,
        "same": not changes,
        "to_download": sum(each.to_download or 0 for each in changes),
        "changes": [_change(each) for each in changes],
    }


def _change(change: Change) -> dict[str, Any]:
    return {
        "set": change.set,
        "role": change.role,
        "before": _file(change.before),
        "after": _file(change.after),
        "here": change.here.state.value if change.here else None,
        "to_download": change.to_download,
    }


def _file(weight: WeightFile | None) -> dict[str, Any] | None:
    if weight is None:
        return None
    return {
        "file": f"{weight.folder}/{weight.file}",
        "revision": weight.revision,
        "sha256": weight.sha256,
        "bytes": weight.bytes,
        "licence": weight.licence,
        "commercial_use": weight.commercial_use,
    }
