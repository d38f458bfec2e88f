"""Which LoRAs of the bucket a tenant sees: those whose sidecar names it, or names nobody."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from config.errors import LoraUnreadable
from pipeline.loras.bucket import ENDING, Found, Sidecar, read_sidecar
from pipeline.store.base import Entry
from pipeline.store.conditional import SafeStore, listed

NOBODYS = Sidecar(tenants=())
"""In place of a sidecar that cannot be read: jobs with its LoRA are refused."""


@dataclass(eq=False)
class SharedLoras:
    """Sidecars are read once for each version of theirs. From any thread."""

    store: SafeStore
    prefix: str
    _read: dict[str, tuple[str, Sidecar]] = field(default_factory=dict)
    """Key of a sidecar → its ETag, and what it says."""

    def of(self, tenant: str) -> Sequence[Found]:
        """In key order. Raises StoreError."""
        entries = {entry.key: entry for entry in listed(self.store, self.prefix)}
        loras = [_found(entry) for key, entry in entries.items() if key.endswith(ENDING)]
        beside = [entries.get(lora.key.removesuffix(ENDING) + ".json") for lora in loras]
        said = [self._sidecar(*both) for both in zip(loras, beside, strict=True)]
        self._read = {key: kept for key, kept in self._read.items() if key in entries}
        return [lora for lora, each in zip(loras, said, strict=True) if each.is_for(tenant)]

    def _sidecar(self, lora: Found, beside: Entry | None) -> Sidecar:
        if beside is None:
            return Sidecar()
        known = self._read.get(beside.key)
        if known is None or known[0] != beside.etag:
            try:
                known = (beside.etag, read_sidecar(self.store, lora))
            except LoraUnreadable:
                known = (beside.etag, NOBODYS)
            self._read[beside.key] = known
        return known[1]


def _found(entry: Entry) -> Found:
    return Found(entry.key, entry.etag, entry.size, entry.last_modified)
