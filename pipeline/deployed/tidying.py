"""Keeps the volume of LoRAs within its size. Workers never evict: they cannot see each other."""

import time

from pipeline.deployed.asked import asked
from pipeline.deployed.mounted import Handle, MountedVolume
from pipeline.inputs.supplies import lora_folder
from pipeline.loras.cache import evict


def tidy(loras: Handle) -> int:
    """How many files went. Raises VolumeBusy."""
    with asked() as settings:
        volume = MountedVolume(lora_folder(settings), loras)
        return len(evict(volume, int(settings.lora_cache_gib * 2**30), now=time.time()))
