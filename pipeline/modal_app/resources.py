"""What the platform holds for us: folders in a container with the variables that name them, the
named volumes, and the named secrets with the keys that each must have.

The variables stand in the image and in no function's environment: where the image is not built
(tests), the paths are not there either, and the pipeline falls back to what it does on any machine.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from types import MappingProxyType
from typing import Final, Literal, TypeVar

from pipeline.comfyui_setup.pins import PYTHON

CODE = PurePosixPath("/root")
"""Where the platform puts the file that is deployed, and looks for modules."""
TABLES = PurePosixPath("/opt/ryla/tables")
"""The operator's own tables, as they were at the deploy."""
COMFYUI = PurePosixPath("/opt/ComfyUI")
MODELS = PurePosixPath("/models")
LORAS = PurePosixPath("/loras")
CACHE = PurePosixPath("/cache")
WORK = PurePosixPath("/tmp/ryla")

EVERYWHERE: Mapping[str, str] = MappingProxyType(
    {
        "PYTHONUNBUFFERED": "1",
        "RYLA_LOG_FORMAT": "json",
        "RYLA_STATE_DIR": str(WORK / "state"),
        "RYLA_MODELS_DIR": str(MODELS),
    }
)
SERVICE: Mapping[str, str] = MappingProxyType(
    {
        **EVERYWHERE,
        "RYLA_LORA_DIR": str(LORAS),
    }
)
NVIDIA = COMFYUI / ".venv" / "lib" / f"python{PYTHON}" / "site-packages" / "nvidia"
"""Where ComfyUI's torch has its CUDA libraries."""
WORKER: Mapping[str, str] = MappingProxyType(
    {
        **EVERYWHERE,
        "RYLA_LORA_DIR": str(LORAS),
        "RYLA_COMFYUI_DIR": str(COMFYUI),
        "RYLA_COMFYUI_PYTHON": str(COMFYUI / ".venv" / "bin" / "python"),
        "RYLA_COMFYUI_READY_SECONDS": "180",
        # onnxruntime finds CUDA nowhere else: our environment has no libraries of its own.
        "LD_LIBRARY_PATH": ":".join(str(NVIDIA / folder / "lib") for folder in ("cu13", "cudnn")),
        # Kernels that are compiled once serve every later container.
        "TORCHINDUCTOR_CACHE_DIR": str(CACHE / "inductor"),
        "TRITON_CACHE_DIR": str(CACHE / "triton"),
        "CUDA_CACHE_PATH": str(CACHE / "cuda"),
    }
)

VolumeVersion = Literal[1, 2]
VOLUME_VERSION: Final = 2
"""Many writers, and no limit on the number of files."""


@dataclass(frozen=True)
class NamedVolume:
    """A volume, and where it is mounted."""

    name: str
    path: PurePosixPath
    holds: str

    @property
    def command(self) -> str:
        """What makes it. The deploy does so by itself."""
        return f"modal volume create {self.name} --version {VOLUME_VERSION}"


APP = "ryla"
"""The name that stands for the app's own in the names below."""

WEIGHTS = NamedVolume("ryla-models", MODELS, "weights and face packs, read-only in workers")
LORA_FILES = NamedVolume("ryla-loras", LORAS, "LoRAs that workers have pulled from the bucket")
KERNELS = NamedVolume("ryla-cache", CACHE, "kernels that were compiled on a GPU")

VOLUMES: Mapping[str, NamedVolume] = MappingProxyType(
    {volume.name: volume for volume in (WEIGHTS, LORA_FILES, KERNELS)}
)


@dataclass(frozen=True)
class NamedSecret:
    """A secret, and the keys that it must have."""

    name: str
    keys: tuple[str, ...]
    """Without one of these, no deploy. Any other setting may stand beside them."""
    needed_for: str

    @property
    def command(self) -> str:
        """What makes it."""
        pairs = " ".join(f"{key}=..." for key in self.keys)
        return f"modal secret create {self.name} {pairs}"


BUCKET = NamedSecret(
    "ryla-bucket",
    ("RYLA_BUCKET", "RYLA_ACCESS_KEY_ID", "RYLA_SECRET_ACCESS_KEY"),
    "the bucket that is the queue",
)
POSTHOG = NamedSecret("ryla-posthog", ("RYLA_POSTHOG_API_KEY",), "delivering events")
HUGGING_FACE = NamedSecret(
    "ryla-huggingface", ("HF_TOKEN",), "downloading weights, gated ones above all"
)
API_KEYS = NamedSecret(
    "ryla-api-keys",
    ("RYLA_API_KEYS",),
    "the HTTP API, which is open to the internet",
)

SECRETS: Mapping[str, NamedSecret] = MappingProxyType(
    {secret.name: secret for secret in (BUCKET, POSTHOG, HUGGING_FACE, API_KEYS)}
)

NamedT = TypeVar("NamedT", NamedVolume, NamedSecret)


def of_app(named: NamedT, app: str) -> NamedT:
    """As an app of this name has it: two apps in one environment share nothing."""
    return replace(named, name=f"{app}{named.name.removeprefix(APP)}")
