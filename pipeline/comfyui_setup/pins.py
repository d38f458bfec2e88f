"""What `ryla comfyui install` installs: versions that the graphs were run on."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from types import MappingProxyType

from workflows.required_nodes import INSTANTID

COMFYUI = "0.33.0"
COMMIT = "2f35f4a08176d993cded35dac3332be4f7287f41"
"""Of that release: a tag can be moved."""
PYTHON = "3.11"

TORCH = ("torch", "torchvision", "torchaudio")
"""Installed beforehand, or ComfyUI's requirements take whichever is newest that day."""


@cache
def constraints() -> tuple[str, ...]:
    """A version for every package that ComfyUI and the packs lead to; `make lock` computes them."""
    text = (resources.files("pipeline.comfyui_setup") / "constraints.txt").read_text("utf-8")
    return tuple(text.splitlines())


@dataclass(frozen=True)
class Pack:
    """Custom nodes at a commit."""

    name: str
    """Its folder under custom_nodes, which is in its nodes' module names too."""
    repository: str
    commit: str
    requirements: tuple[str, ...]
    """In the place of its own requirements.txt."""
    needed: bool = True
    """Whether our graphs use it."""


PACKS: Mapping[str, Pack] = MappingProxyType(
    {
        pack.name: pack
        for pack in (
            Pack(
                INSTANTID,
                "https://github.com/cubiq/ComfyUI_InstantID",
                "1ef34ef573581bd9727c1e0ac05aa956b356a510",
                # Its own list names two onnxruntimes, of which one hides the other.
                ("insightface", "opencv-python-headless"),
            ),
            Pack(
                "seedvr2_videoupscaler",
                "https://github.com/numz/ComfyUI-SeedVR2_VideoUpscaler",
                "4490bd1f482e026674543386bb2a4d176da245b9",
                (
                    "omegaconf>=2.3.0",
                    "diffusers>=0.33.1",
                    "peft>=0.17.0",
                    "rotary_embedding_torch>=0.5.3",
                    "opencv-python-headless",
                    "gguf",
                    "matplotlib",
                ),
                needed=False,
            ),
        )
    }
)

ONNXRUNTIME: Mapping[bool, str] = MappingProxyType({True: "onnxruntime-gpu", False: "onnxruntime"})
"""By whether there is an NVIDIA GPU. Exactly one may be installed."""
EXCLUDED = ("opencv-python", "onnxruntime", "onnxruntime-gpu")
"""insightface asks for these by name; what stands in their place is installed by us."""
