"""What of our environment ComfyUI's process may see. Third-party nodes run in it. Pure."""

import re
from collections.abc import Mapping
from typing import Final

_NAMES: Final = frozenset(
    {
        "HOME",
        "LANG",
        "LANGUAGE",
        "LD_LIBRARY_PATH",
        "LOGNAME",
        "PATH",
        "TMPDIR",
        "TZ",
        "USER",
        "VIRTUAL_ENV",
    }
)
_PREFIXES: Final = (
    "CUBLAS_",
    "CUDA_",
    "CUDNN_",
    "LC_",
    "MKL_",
    "NCCL_",
    "NVIDIA_",
    "OMP_",
    "PYTORCH_",
    "TORCH",
    "TRITON_",
)
_SECRET: Final = re.compile(r"KEY|TOKEN|SECRET|PASSW|CREDENTIAL", re.IGNORECASE)
"""NVIDIA_API_KEY would pass by its prefix."""


def allowed(environ: Mapping[str, str]) -> dict[str, str]:
    """Nothing but the names listed here: no settings, no credentials."""
    return {
        name: value
        for name, value in environ.items()
        if (name in _NAMES or name.startswith(_PREFIXES)) and not _SECRET.search(name)
    }
