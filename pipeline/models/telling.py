"""Versions and changes of weights as documents: `ryla models`, and a deployment's function."""

from collections.abc import Iterable, Sequence
from typing import Any

from config.tables import WeightFile
from pipeline.models.switching import Change
from pipeline.models.versions import Version


def told(version: Version) -> dict[str, Any]:
    return {
        "version": version.number,
        "action": version.action,
        "back_to": version.back_to,
        "at": version.at.isoformat(),
        "sets": version.fingerprints,
    }


def told_changes(
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
