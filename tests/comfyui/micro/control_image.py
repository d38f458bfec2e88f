"""A custom node that shows what InstantID's control net is given: no node of its pack does."""

from typing import Any, ClassVar


class MicroControlImage:
    """The control image in a conditioning, as ApplyInstantIDAdvanced put it there."""

    CATEGORY = "micro"
    RETURN_TYPES: ClassVar[tuple[str, ...]] = ("IMAGE",)
    FUNCTION = "shown"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802  ComfyUI's name
        return {"required": {"conditioning": ("CONDITIONING",)}}

    def shown(self, conditioning: Any) -> tuple[Any]:
        """Floats of 0 to 1, shaped (1, height, width, 3)."""
        control = conditioning[0][1]["control"]
        return (control.cond_hint_original.movedim(1, -1),)


NODE_CLASS_MAPPINGS = {"MicroControlImage": MicroControlImage}
