"""Saves a picture as bare pixels, in 2 ms instead of the 150 to 320 that ComfyUI's PNG takes.

The process that waits for the file encodes it, while the GPU works on the next one.
"""

import hashlib
import os
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar

import torch

from .collection import COLLECTION, loaded_models
from .sampled import SAMPLED


class RylaSavePixels:
    """An output node: RGB, 8 bits, row by row, without a header; `ui` says how large it is."""

    CATEGORY = "ryla"
    OUTPUT_NODE = True
    RETURN_TYPES: ClassVar[tuple[str, ...]] = ()
    FUNCTION = "save"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802  ComfyUI's name
        return {"required": {"images": ("IMAGE",), "filename_prefix": ("STRING", {"default": "p"})}}

    def save(self, images: Any, filename_prefix: str) -> dict[str, Any]:
        """`images` are floats of 0 to 1, shaped (pictures, height, width, 3)."""
        folder_paths = import_module("folder_paths")
        height, width = int(images.shape[1]), int(images.shape[2])
        folder, name, counter, subfolder, _ = folder_paths.get_save_image_path(
            filename_prefix, folder_paths.get_output_directory(), width, height
        )
        saved, sampled = [], SAMPLED.take()
        for at, pixels in enumerate(eight_bit(images)):
            file = f"{name}_{counter + at:05}_.rgb"
            saved.append(
                {
                    "filename": file,
                    "subfolder": subfolder,
                    "type": "output",
                    "pixels": {"width": width, "height": height, "sha256": _digest(pixels)},
                    "sampled": sampled,
                }
            )
            _write(Path(folder) / file, pixels)
        COLLECTION.freeze_after_warm_up(loaded_models())
        return {"ui": {"images": saved}}


def eight_bit(images: Any) -> list[memoryview]:
    """Each picture's bytes, as SaveImage rounds: times 255, clipped, cut off to whole numbers."""
    scaled = (images[..., :3].float() * 255.0).clamp_(0, 255).to(torch.uint8)
    return [memoryview(each.contiguous().cpu().numpy().reshape(-1)) for each in scaled]


def _digest(pixels: memoryview) -> str:
    return hashlib.sha256(pixels).hexdigest()


def _write(path: Path, pixels: memoryview) -> None:
    """Whole or not at all: whoever reads it may look before the prompt ends."""
    part = path.with_suffix(".part")
    part.write_bytes(pixels)
    os.replace(part, path)
