"""Which sets of weights are needed, and what it costs to keep them."""

from collections.abc import Iterable
from dataclasses import dataclass

from config.gpus import GpuTable
from config.models import ModelTable, WeightFile
from handlers.faces.match import SCORING_PACK
from handlers.kinds.checkpoint import UNCENSORED_SUFFIX
from handlers.kinds.compatibility import Adapter, rows, sets_of
from handlers.kinds.registry import KINDS

GIB = 2**30


def active_sets(models: ModelTable) -> tuple[str, ...]:
    """Of the kinds that are available, and of the operator's own variants of them."""
    named = sets_of(frozenset(KINDS))
    own = tuple(
        f"{name}{UNCENSORED_SUFFIX}"
        for name in named
        if f"{name}{UNCENSORED_SUFFIX}" in models.sets
    )
    faces = any(row.adapter is not Adapter.NONE for kind in KINDS for row in rows(kind))
    return (*named, *own, *((SCORING_PACK,) if faces else ()))


@dataclass(frozen=True)
class Plan:
    """What a set of files takes, on disk and a month."""

    files: tuple[WeightFile, ...]
    bytes: int
    """Without the `unknown` files."""
    unknown: tuple[str, ...]
    """Files whose length is in no table."""
    usd_per_month: float
    """On a volume that has used up nothing of what is free."""
    usd_per_month_beyond_free: float
    """On one where the free share is used up already."""


def plan(weights: Iterable[WeightFile], prices: GpuTable) -> Plan:
    """By the volumes' price of gpus.toml."""
    files = tuple(weights)
    total = sum(weight.bytes or 0 for weight in files)
    gib = total / GIB
    price = prices.volume_usd_per_gib_month
    return Plan(
        files,
        total,
        tuple(weight.file for weight in files if weight.bytes is None),
        max(gib - prices.volume_free_gib, 0) * price,
        gib * price,
    )


def forbidden(models: ModelTable, set_names: Iterable[str]) -> tuple[WeightFile, ...]:
    """Those that do not allow commercial use and have no licence note."""
    return tuple(
        weight
        for weight in models.files(name for name in set_names if name in models.sets).values()
        if not weight.commercial_use and weight.licence_note is None
    )
