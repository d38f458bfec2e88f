"""What the driver says of the GPU, for those who must know before ComfyUI runs."""

import subprocess

SECONDS = 15.0
"""The driver's first answer in a fresh container takes a while."""
COMMAND = ("nvidia-smi", "--query-gpu=name", "--format=csv,noheader")


def gpu_name(command: tuple[str, ...] = COMMAND) -> str | None:
    """The name of the first GPU ("NVIDIA L40S"), None where there is no driver or no GPU."""
    try:
        told = subprocess.run(command, capture_output=True, timeout=SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    lines = told.stdout.decode(errors="replace").splitlines()
    return lines[0].strip() or None if told.returncode == 0 and lines else None
