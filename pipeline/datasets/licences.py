"""What the licences of all weights allow that had a part in a dataset's pictures. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from config.models import ModelTable, WeightFile
from handlers.comfyui.info import STANDIN
from handlers.kinds.compatibility import FACE_PASS
from pipeline.contract.result import Provenance

INSTANTID_PACK = FACE_PASS[1]
"""InstantID's node finds faces with this pack, whose files no input of a graph names."""


@dataclass(frozen=True)
class UsedWeight:
    file: str
    sha256: str | None
    licence: str | None
    """Null where models.toml does not know these bytes."""
    terms: str | None
    commercial_use: bool | None
    """Null where nobody knows."""


def used_weights(
    provenance: Provenance, models: ModelTable, *, instantid: bool
) -> tuple[UsedWeight, ...]:
    """By the files' names. `instantid` says whether InstantID made one of the faces."""
    return tuple(sorted(_used(provenance, models, instantid), key=lambda one: one.file))


def commercial_use(weights: Iterable[UsedWeight]) -> bool | None:
    """No as soon as one licence says no; else unknown if one is, or if there is none at all."""
    said = {weight.commercial_use for weight in weights}
    if False in said:
        return False
    return None if None in said or not said else True


def _used(provenance: Provenance, models: ModelTable, instantid: bool) -> Iterator[UsedWeight]:
    drawn = provenance.engine != STANDIN
    if drawn:
        for file, sha256 in provenance.models.items():
            yield _known(file, sha256, models)
    if drawn and instantid:
        pack = models.sets.get(INSTANTID_PACK, {}).values()
        for row in (models.weights_by_name[name] for name in pack):
            yield _licensed(row.file, row.sha256, row)
    if drawn and provenance.lora is not None:
        lora = provenance.lora
        yield UsedWeight(lora.key, lora.sha256, None, "nobody stated the LoRA's licence", None)


def _known(file: str, sha256: str | None, models: ModelTable) -> UsedWeight:
    """A file of that name with other bytes is another file."""
    rows = _rows(file, models.weights_by_name)
    for row in rows:
        if sha256 is None or row.sha256 is None or sha256 == row.sha256:
            return _licensed(file, sha256, row)
    why = "models.toml has other bytes by that name" if rows else "models.toml does not list it"
    return UsedWeight(file, sha256, None, why, None)


def _rows(file: str, table: Mapping[str, WeightFile]) -> list[WeightFile]:
    return [row for row in table.values() if file in (row.file, row.base_name)]


def _licensed(file: str, sha256: str | None, row: WeightFile) -> UsedWeight:
    allowed = row.commercial_use or row.licence_note is not None
    note = row.licence_note and f"agreement: {row.licence_note}"
    return UsedWeight(file, sha256, row.licence, note or row.terms, allowed)
