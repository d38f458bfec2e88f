"""Weights that may not be used for pay."""

from collections.abc import Iterable

from config.tables import ModelTable, WeightFile


def forbidden(models: ModelTable, set_names: Iterable[str]) -> tuple[WeightFile, ...]:
    """Those that do not allow commercial use and have no licence note."""
    return tuple(
        weight
        for weight in models.files(name for name in set_names if name in models.sets).values()
        if not weight.commercial_use and weight.licence_note is None
    )
