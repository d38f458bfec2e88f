"""The extent of what goes along a graph's links: size, batch and steps."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

MEGAPIXEL = 2**20
Size = tuple[int, int]


@dataclass(frozen=True)
class Extent:
    """What goes along a link. Fields that its type has not are at their defaults."""

    width: float = 0
    """Pixels, of latents too."""
    height: float = 0
    batch: float = 1
    ratio_known: bool = True
    """Whether width and height are exact, not bounds of two things."""
    steps: float = 0
    """Of SIGMAS."""
    texts: float = 1
    """Of CONDITIONING: encoded texts in it, each of which the model is run for."""
    passes: float = 1
    """Of MODEL, CONDITIONING, GUIDER and SAMPLER: what a step is multiplied by."""

    @property
    def pixels(self) -> float:
        return self.width * self.height * self.batch


Inputs = Mapping[str, "Extent | float | str"]
"""A node's inputs: the extent at the other end of a link, or the value."""

# Runs of the model in one step of a sampler, of those that take more than one.
_TWICE = (
    *("dpm_2", "dpm_2_ancestral", "dpm_fast", "dpmpp_2s_ancestral", "dpmpp_2s_ancestral_cfg_pp"),
    *("dpmpp_sde", "dpmpp_sde_gpu", "exp_heun_2_x0", "exp_heun_2_x0_sde", "heun"),
    *("sa_solver_pece", "seeds_2"),
)
_RUNS: Mapping[str, int] = MappingProxyType(
    dict.fromkeys(_TWICE, 2) | {"heunpp2": 3, "seeds_3": 3, "dpm_adaptive": 10}
)
_STAGES = re.compile(r"_(\d{1,2})s(_|$)")
"""In a name of RES4LYF's: `res_2s` runs the model twice a step."""


def extent(inputs: Inputs, name: str) -> Extent:
    """What comes in by a link; an empty one where there is none."""
    found = inputs.get(name)
    return found if isinstance(found, Extent) else Extent()


def number(inputs: Inputs, name: str, default: float = 0) -> float:
    """A plain value that is a number."""
    found = inputs.get(name)
    return found if isinstance(found, float) else default


def runs(inputs: Inputs) -> int:
    """Of the model in one step, by the sampler's name."""
    name = str(inputs.get("sampler_name", ""))
    stages = _STAGES.search(name)
    return _RUNS.get(name, int(stages[1]) if stages else 1)
