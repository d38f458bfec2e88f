"""What `ryla comfyui install` installs: versions that the graphs were run on."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from workflows.required_nodes import INSTANTID

COMFYUI = "0.33.0"
COMMIT = "2f35f4a08176d993cded35dac3332be4f7287f41"
"""Of that release: a tag can be moved."""
PYTHON = "3.11"

LOCKS = Path(__file__).parent / "locks"
"""Files of packages with a version and hashes each, computed by `make lock`. `comfyui.txt` has all
that this ComfyUI and the packs of our graphs lead to."""

OTHERWISE = (
    "torch==2.11.0",
    "torchvision==0.26.0",
    "torchaudio==2.11.0",
    "numpy<2.4",
    "transformers<5",
)
"""Of another ComfyUI, which has no lock: installed beforehand, or its requirements take whichever
is newest that day."""


@dataclass(frozen=True)
class Pack:
    """Custom nodes at a commit."""

    name: str
    """Its folder under custom_nodes, which is in its nodes' module names too."""
    repository: str
    commit: str
    requirements: tuple[str, ...]
    """In the place of its own requirements.txt, where there is no lock."""
    needed: bool = True
    """Whether our graphs use it."""
    lock: str | None = None
    """The file with its packages, where they are not in `comfyui.txt`."""


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
                lock="seedvr2_videoupscaler.txt",
            ),
        )
    }
)

ONNXRUNTIME: Mapping[bool, str] = MappingProxyType({True: "onnxruntime-gpu", False: "onnxruntime"})
"""By whether there is an NVIDIA GPU. Exactly one may be installed, from the lock of its name."""
EXCLUDED = ("opencv-python", "onnxruntime", "onnxruntime-gpu")
"""insightface asks for these by name; what stands in their place is installed by us."""
