"""Which checkpoint draws a job: the base model's, or with `nsfw` the uncensored one.

The uncensored one is the operator's own, and is never downloaded by us: `ryla models add` registers
it as a set of models.toml with a suffix.
"""

from collections.abc import Mapping

from config.errors import MissingModel
from config.models import ModelTable, WeightFile

UNCENSORED_SUFFIX = "-uncensored"
UNCENSORED_SET = f"flux-dev{UNCENSORED_SUFFIX}"


def checkpoint(models: ModelTable, *, nsfw: bool) -> Mapping[str, WeightFile]:
    """The weights of Flux dev by role. Raises MissingModel where none is registered for `nsfw`."""
    if not nsfw:
        return models.weights("flux-dev")
    if not models.sets.get(UNCENSORED_SET):
        raise MissingModel(
            "no uncensored checkpoint is registered",
            field="input.nsfw",
            value=True,
            hint=f"The operator registers one: ryla models add FILE --as {UNCENSORED_SET}",
        )
    return models.weights(UNCENSORED_SET)


def uncensored_alone(models: ModelTable) -> set[str]:
    """Names of weights that are of the uncensored set and of no other."""
    elsewhere = {
        name
        for key, roles in models.sets.items()
        if key != UNCENSORED_SET
        for name in roles.values()
    }
    return {*models.sets.get(UNCENSORED_SET, {}).values()} - elsewhere
