"""Keeps the workers' store of LoRAs within its size, from the one process that owns the workers."""

import time
from collections.abc import Callable
from threading import Lock
from typing import Self

import structlog

from config.settings import Settings
from pipeline.loras.cache import LocalFolder, Volume, VolumeBusy, evict, lora_folder

EVERY_S = 600.0
"""Between two evictions."""


class LoraEviction:
    """Evicts at most every `every_s` seconds, down to `limit_bytes`. Usable from any thread."""

    def __init__(
        self,
        volume: Volume,
        limit_bytes: int,
        *,
        every_s: float = EVERY_S,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._volume = volume
        self._limit_bytes = limit_bytes
        self._every_s = every_s
        self._clock = clock
        self._due = 0.0
        self._lock = Lock()

    @classmethod
    def of(cls, settings: Settings) -> Self:
        return cls(LocalFolder(lora_folder(settings)), int(settings.lora_cache_gib * 2**30))

    def tidy(self) -> None:
        """Evict, unless that was done lately or is being done. Never raises: it can wait."""
        now = self._clock()
        if now < self._due or not self._lock.acquire(blocking=False):
            return
        log = structlog.get_logger(__name__)
        try:
            self._due = now + self._every_s
            gone = evict(self._volume, self._limit_bytes, now=now)
            if gone:
                log.info("loras_evicted", files=len(gone))
        except (OSError, VolumeBusy) as error:
            log.warning("loras_not_evicted", error=str(error))
        finally:
            self._lock.release()
