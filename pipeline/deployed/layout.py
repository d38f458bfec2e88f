"""Where things lie in a container, and the variables of its image that say so.

They stand in the image and in no function's environment: where the image is not built (tests), the
paths are not there either, and the pipeline falls back to what it does on any machine.
"""

from collections.abc import Mapping
from pathlib import PurePosixPath
from types import MappingProxyType

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
        "HF_XET_HIGH_PERFORMANCE": "1",
    }
)
WORKER: Mapping[str, str] = MappingProxyType(
    {
        **EVERYWHERE,
        "RYLA_LORA_DIR": str(LORAS),
        "RYLA_COMFYUI_DIR": str(COMFYUI),
        "RYLA_COMFYUI_PYTHON": str(COMFYUI / ".venv" / "bin" / "python"),
        "RYLA_COMFYUI_READY_SECONDS": "180",
        # Kernels that are compiled once serve every later container.
        "TORCHINDUCTOR_CACHE_DIR": str(CACHE / "inductor"),
        "TRITON_CACHE_DIR": str(CACHE / "triton"),
        "CUDA_CACHE_PATH": str(CACHE / "cuda"),
    }
)
