"""The job kinds by name."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from config.errors import InvalidField, NotAvailable
from config.nearest import nearest
from handlers.character_sheet.kind import CharacterSheet
from handlers.kinds.base import Kind
from handlers.kinds.flux import FluxDev, FluxSchnell
from handlers.kinds.flux_instantid import FluxInstantId
from handlers.kinds.flux_lora import FluxLora
from handlers.kinds.instantid import SdxlInstantId
from handlers.kinds.zimage import ZImageTurbo
from handlers.workflow_graph.kind import Workflow

KINDS: Mapping[str, Kind[Any]] = MappingProxyType(
    {
        kind.name: kind
        for kind in (
            FluxDev(),
            FluxSchnell(),
            FluxLora(),
            FluxInstantId(),
            SdxlInstantId(),
            ZImageTurbo(),
            CharacterSheet(),
            Workflow(),
        )
    }
)

NOT_YET = frozenset(
    {
        "wan-t2v",
        "seedvr2",
        "flux-fill",
    }
)
"""Kinds of the contract that are not built yet."""


def lookup(name: str) -> Kind[Any]:
    """The kind of this name. Raises NotAvailable for one to come, InvalidField for no kind."""
    if name in KINDS:
        return KINDS[name]
    built = ", ".join(sorted(KINDS))
    if name in NOT_YET:
        raise NotAvailable(
            f"the kind {name} is not available yet",
            field="model",
            value=name,
            hint=f"Available now: {built}.",
        )
    meant = nearest(name, [*KINDS, *NOT_YET])
    raise InvalidField(
        f"no kind is named {name!r}",
        field="model",
        value=name,
        hint=f"Did you mean {meant}?" if meant else f"Available now: {built}.",
    )
