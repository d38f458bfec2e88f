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
    CACHED = "cached"
    """By the first block alone: the others' work was taken from a step before."""


class Sampled:
    """ComfyUI runs one prompt after the other."""

    def __init__(self) -> None:
        self._steps: dict[Steps, int] = {}
        self._latest: Steps | None = None

    def note(self, steps: Steps) -> None:
        self._steps[steps] = self._steps.get(steps, 0) + 1
        self._latest = steps

    def note_cached(self) -> None:
        """The step that was noted last is told as a cached one instead."""
        if self._latest is not None:
            self._steps[self._latest] -= 1
        self.note(Steps.CACHED)

    def take(self) -> dict[str, int]:
        """Steps by how they were computed, since it was last asked."""
        taken, self._steps, self._latest = self._steps, {}, None
        return {steps.value: count for steps, count in taken.items() if count}


SAMPLED = Sampled()
