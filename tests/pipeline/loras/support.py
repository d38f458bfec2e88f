"""A bucket in memory whose clock the test turns, and small LoRAs for it."""

from datetime import UTC, datetime, timedelta

from handlers.loras.bases import FluxSizes, flux
from pipeline.loras.bucket import Found
from pipeline.store.base import Always
from pipeline.store.conditional import SafeStore
from pipeline.store.memory import MemoryStore
from tests.support.safetensors_files import KOHYA, flux_native, lora, randomised, underscored

TINY = flux(FluxSizes(doubles=1, singles=1, hidden=128, context=64, pooled=64))


def tiny_lora(seed: int = 0, rank: int = 2, hidden: int = 128) -> bytes:
    linears = underscored("lora_unet_", flux_native(hidden, [0], []))
    return randomised(lora(linears, KOHYA, rank, alpha=float(rank)), seed)


class Bucket:
    def __init__(self) -> None:
        self.now = datetime(2026, 11, 20, tzinfo=UTC)
        self.raw = MemoryStore(lambda: self.now)
        self.store = SafeStore(self.raw)

    def upload(self, key: str, body: bytes = b"x") -> None:
        """Each upload is a minute after the one before."""
        self.now += timedelta(minutes=1)
        self.raw.put(key, body, Always())

    def found(self, key: str) -> Found:
        entry = self.raw.list(key).entries[0]
        return Found(entry.key, entry.etag, entry.size, entry.last_modified)


def flux_lora(seed: int = 0) -> bytes:
    """One that fits Flux as it is: other bytes for each seed."""
    linears = {"double_blocks.0.img_attn.proj": (3072, 3072)}
    return randomised(lora(underscored("lora_unet_", linears), KOHYA, 1, alpha=1.0), seed)


def z_image_lora(seed: int = 0) -> bytes:
    linears = {"layers.0.attention.out": (3840, 3840)}
    return randomised(lora(underscored("lora_unet_", linears), KOHYA, 1), seed)
