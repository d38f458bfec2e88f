"""A LoRA for the demo: a few layers of Flux, of rank 1, in numbers that mean nothing."""

import hashlib
import json
import struct
from collections.abc import Sequence
from random import Random

from config.models import load_models
from config.settings import Settings
from handlers.loras.bases import Base
from handlers.loras.header import BytesRanges
from handlers.loras.refs import ById
from pipeline.local.demo.manifests import Example
from pipeline.loras import library
from pipeline.loras.bucket import Sidecar
from pipeline.store.conditional import SafeStore

LORA_ID = "demo-muse"
TRIGGER_WORD = "demomuse"
BASE = "flux-dev"
LAYERS = 4
Tensor = tuple[str, tuple[int, ...], bytes]


def add_demo_lora(store: SafeStore, settings: Settings, examples: Sequence[Example]) -> None:
    """Through the same checks as `ryla loras add`, if an example asks for it."""
    if all(example.input.get("lora_id") != LORA_ID for example in examples):
        return
    known = library.bases(load_models(settings.models_file))
    body = make_lora(known[BASE])
    lora = library.read_lora(BytesRanges(body))
    library.fitting(lora, known, BASE)
    sidecar = Sidecar(
        trigger_word=TRIGGER_WORD,
        family=lora.family,
        sha256=hashlib.sha256(body).hexdigest(),
        character=LORA_ID,
    )
    key = library.place(ById(LORA_ID), settings.lora_prefix)
    library.add(store, key, body, sidecar, replace=True)


def make_lora(base: Base) -> bytes:
    """A safetensors file that changes the first layers of `base`. The same bytes every time."""
    stems = [stem for stem in base.linears if stem.endswith("attn_proj")][:LAYERS]
    return _safetensors([tensor for stem in stems for tensor in _pair(stem, base)])


def _pair(stem: str, base: Base) -> list[Tensor]:
    linear = base.linears[stem]
    return [
        (f"{stem}.lora_down.weight", (1, linear.wide), _halves(stem + "/down", linear.wide)),
        (f"{stem}.lora_up.weight", (linear.out, 1), _halves(stem + "/up", linear.out)),
        (f"{stem}.alpha", (), struct.pack("<e", 1.0)),
    ]


def _halves(seed: str, count: int) -> bytes:
    random = Random(seed)
    return struct.pack(f"<{count}e", *(random.gauss(0, 0.02) for _ in range(count)))


def _safetensors(tensors: Sequence[Tensor]) -> bytes:
    table, end = {}, 0
    for name, shape, body in tensors:
        offsets = [end, end := end + len(body)]
        table[name] = {"dtype": "F16", "shape": shape, "data_offsets": offsets}
    header = json.dumps(table).encode()
    return struct.pack("<Q", len(header)) + header + b"".join(body for _, _, body in tensors)
