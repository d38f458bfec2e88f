from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="`make nodes` brings it")

from handlers.comfyui.node_pack.merged_loras import Factors, Lora, MergedLoras  # noqa: E402
from handlers.comfyui.node_pack.originals import InPlace, OfFile  # noqa: E402
from handlers.comfyui.node_pack.scaled_fp8 import in_full, rounded, scale_of  # noqa: E402
from tests.handlers.comfyui.node_pack.test_weight_file import written  # noqa: E402

pytestmark = pytest.mark.nodes
ROOM = 1 << 30
NAMES = {"a.weight": "blocks.a", "b.weight": "blocks.b"}
"""In the model, and in the file."""


def drawn(*shape: int, seed: int) -> Any:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).bfloat16()


class Model:
    """Two weights in 8 bits, made of a file, and one as it is."""

    def __init__(self, folder: Path, side: int = 64) -> None:
        self.file = {name: drawn(side, side, seed=at) for at, name in enumerate(NAMES.values())}
        path = written(folder / "model.safetensors", self.file)
        self.layers = {key: _layer(name, self.file[name]) for key, name in NAMES.items()}
        self.plain = {"mod.weight": drawn(side, side, seed=9)}
        others = InPlace(self.plain.__getitem__, lambda: ROOM)
        self.originals = OfFile(path, self.layers, others, lambda: ROOM)
        self.merged = MergedLoras(self.originals)

    def held(self) -> dict[str, Any]:
        weights = {key: layer.weight.view(torch.uint8) for key, layer in self.layers.items()}
        return {key: weight.clone() for key, weight in (weights | self.plain).items()}

    def in_full(self, key: str) -> Any:
        return in_full(self.layers[key].weight, self.layers[key].scale, torch.float32)


def _layer(name: str, original: Any) -> Any:
    scale = scale_of(original)
    return SimpleNamespace(source=name, weight=rounded(original, scale), scale=scale)


def lora(name: str, keys: list[str], scale: float = 0.05, side: int = 64) -> Lora:
    made = [
        Factors(key, drawn(side, 4, seed=len(name) + at), drawn(4, side, seed=at + 50), scale)
        for at, key in enumerate(keys)
    ]
    return Lora(name, 1.0, made, {})


def equal(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return all(torch.equal(one[key], other[key]) for key in one)


def test_off_again_is_the_same_bytes_over_a_hundred_switches(tmp_path: Path) -> None:
    model, random = Model(tmp_path), Random(3)
    before = model.held()
    loras = [lora("ann", ["a.weight", "mod.weight"]), lora("bea's", ["b.weight", "a.weight"])]

    for _ in range(100):
        model.merged.apply(random.sample(loras, random.randrange(3)))
        if random.random() < 0.2:
            model.merged.restore()
        model.merged.apply([])
        assert equal(model.held(), before)


def test_weights_stay_where_they_lie(tmp_path: Path) -> None:
    model = Model(tmp_path)
    before = [layer.weight.data_ptr() for layer in model.layers.values()]

    model.merged.apply([lora("ann", ["a.weight", "b.weight"])])

    assert [layer.weight.data_ptr() for layer in model.layers.values()] == before


def test_a_weight_in_full_beside_them_is_merged_where_it_lies(tmp_path: Path) -> None:
    model = Model(tmp_path)
    ann = lora("ann", ["mod.weight"])
    (each,) = ann.factors
    right = model.plain["mod.weight"].float() + each.scale * each.up.float() @ each.down.float()

    model.merged.apply([ann])

    torch.testing.assert_close(model.plain["mod.weight"].float(), right, rtol=0.01, atol=0.01)


def test_of_a_lora_of_a_hundredth_of_the_weights_next_to_all_acts(tmp_path: Path) -> None:
    """Rounded from its original it does; from what was in 8 bits already, a third of it."""
    side = 512
    model = Model(tmp_path, side)
    before = model.in_full("a.weight")
    (each,) = lora("ann", ["a.weight"], side=side).factors
    wanted = each.up.float() @ each.down.float()
    scale = float(0.01 * before.norm() / wanted.norm())

    model.merged.apply([Lora("ann", 1.0, [Factors("a.weight", each.up, each.down, scale)], {})])

    moved = model.in_full("a.weight") - before
    assert float((moved * wanted).sum() / (wanted * wanted).sum()) / scale > 0.98


def test_originals_are_read_once_and_again_after_they_were_dropped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = Model(tmp_path)
    read = model.originals._read
    asked: list[list[str]] = []

    def noted(keys: Any, device: Any) -> None:
        asked.append(list(keys))
        read(keys, device)

    monkeypatch.setattr(model.originals, "_read", noted)
    for keys in (["a.weight"], ["b.weight", "a.weight"], ["a.weight"]):
        model.merged.apply([lora("ann" * len(keys), keys)])
    model.merged.restore()
    model.merged.apply([lora("ann", ["a.weight"])])

    assert [keys for keys in asked if keys] == [["a.weight"], ["b.weight"], ["a.weight"]]


def test_originals_without_room_on_the_card_are_kept_in_main_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = Model(tmp_path)
    one = 2 * model.layers["a.weight"].weight.nbytes
    model.originals.room = lambda: one
    asked: list[tuple[list[str], Any]] = []
    monkeypatch.setattr(
        model.originals, "_read", lambda keys, device: asked.append((list(keys), device))
    )

    model.originals.keep(["a.weight", "b.weight"])

    assert asked == [(["a.weight"], None), (["b.weight"], torch.device("cpu"))]
