"""How the steps of the prompt in work were made, told by the node that saves its picture."""

from enum import StrEnum


class Speed(StrEnum):
    """As routes.toml names them."""

    STOCK = "stock"
    """Models as ComfyUI loads and keeps them."""
    EAGER = "eager"
    """ComfyUI's own arithmetic, on a model that stays where it was read to."""
    COMPILED = "compiled"
    FP8 = "fp8"
    """Blocks in 8 bits, and compiled."""


class Steps(StrEnum):
    """How steps were computed."""

    EAGER = "eager"
    COMPILED = "compiled"
    FP8_EAGER = "fp8-eager"
    """In 8 bits, before blocks were compiled."""
    FP8 = "fp8"


class Sampled:
    """ComfyUI runs one prompt after the other."""

    def __init__(self) -> None:
        self._steps: dict[Steps, int] = {}

    def note(self, steps: Steps) -> None:
        self._steps[steps] = self._steps.get(steps, 0) + 1

    def take(self) -> dict[str, int]:
        """Steps by how they were computed, since it was last asked."""
        taken, self._steps = self._steps, {}
        return {steps.value: count for steps, count in taken.items()}


SAMPLED = Sampled()
