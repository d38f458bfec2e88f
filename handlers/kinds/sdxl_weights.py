"""The weight files of SDXL with InstantID, and of weights their names and checksums."""

from collections.abc import Mapping

from config.errors import MissingModel
from config.models import ModelTable, WeightFile

WEIGHT_SET = "sdxl-instantid"


def sdxl_weights(sdxl_checkpoint: str | None, models: ModelTable) -> Mapping[str, WeightFile]:
    """Role → file, with the checkpoint that was asked for. Raises MissingModel."""
    weights = models.weights(WEIGHT_SET)
    if sdxl_checkpoint is None:
        return weights
    known = [
        weight
        for weight in models.weights_by_name.values()
        if (weight.family, weight.folder) == ("sdxl", "checkpoints")
    ]
    for weight in known:
        if sdxl_checkpoint in (weight.file, weight.base_name, weight.name):
            return {**weights, "checkpoint": weight}
    raise MissingModel(
        f"models.toml lists no SDXL checkpoint {sdxl_checkpoint!r}",
        field="input.sdxl_checkpoint",
        value=sdxl_checkpoint,
        hint=f"Known: {', '.join(weight.file for weight in known)}.",
    )


def names(weights: Mapping[str, WeightFile]) -> Mapping[str, str]:
    return {role: weight.file for role, weight in weights.items()}


def sha256s(weights: Mapping[str, WeightFile]) -> Mapping[str, str | None]:
    return {weight.file: weight.sha256 for weight in weights.values()}
