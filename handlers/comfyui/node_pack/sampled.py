"""How the steps of the prompt in work were made, told by the node that saves its picture."""

from enum import StrEnum


class Speed(StrEnum):
    """As routes.toml names them."""

    STOCK = "stock"
    """Models as ComfyUI loads and keeps them."""
    EAGER = "eager"
    """ComfyUI's own arithmetic, on a model that stays where it was read to."""
    COMPILED = "compiled"


class Sampled:
    """ComfyUI runs one prompt after the other."""

    def __init__(self) -> None:
        self._steps: dict[Speed, int] = {}

    def note(self, speed: Speed) -> None:
        self._steps[speed] = self._steps.get(speed, 0) + 1

    def take(self) -> dict[str, int]:
        """Steps by speed since it was last asked."""
        steps, self._steps = self._steps, {}
        return {speed.value: count for speed, count in steps.items()}


SAMPLED = Sampled()
