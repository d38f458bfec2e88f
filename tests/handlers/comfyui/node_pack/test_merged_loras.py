from collections.abc import Callable, Sequence
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="`make nodes` brings it")

from handlers.comfyui.node_pack.merged_loras import (  # noqa: E402
    Factors,
    Lora,
    MergedLoras,
    factors,
)
from handlers.comfyui.node_pack.originals import InPlace  # noqa: E402

pytestmark = pytest.mark.nodes
ROOM = 1 << 30
SHAPES = {"a.weight": (48, 32), "b.weight": (64, 48), "c.weight": (16, 16)}


def drawn(*shape: int, seed: int, dtype: Any = None) -> Any:
    made = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    return made.to(dtype or torch.bfloat16)


def weights() -> dict[str, Any]:
    return {key: drawn(*shape, seed=at) for at, (key, shape) in enumerate(SHAPES.items())}


def lora(name: str, keys: Sequence[str], strength: float = 1.0, rank: int = 4) -> Lora:
    made = [
        Factors(
            key,
            drawn(SHAPES[key][0], rank, seed=hash((name, key)) % 1000),
            drawn(rank, SHAPES[key][1], seed=hash((name, key)) % 997),
            scale=0.5,
        )
        for key in keys
    ]
    return Lora(name, strength, made, {})


A = lora("ann", ["a.weight", "b.weight"])
B = lora("bea", ["b.weight", "c.weight"], strength=0.7)


def merging(held: dict[str, Any], room: Callable[[], int] = lambda: ROOM) -> MergedLoras:
    return MergedLoras(InPlace(held.__getitem__, room))


def with_lora(weight: Any, given: Lora, key: str) -> Any:
    """In 32 bits."""
    out = weight.float()
    for each in given.factors:
        if each.key == key:
            out = out + given.strength * each.scale * each.up.float() @ each.down.float()
    return out


def test_a_lora_is_up_times_down_times_its_scale_and_strength() -> None:
    held, before = weights(), weights()

    merging(held).apply([B])

    for key in ("b.weight", "c.weight"):
        torch.testing.assert_close(
            held[key].float(), with_lora(before[key], B, key), rtol=0.01, atol=0.01
        )
    assert torch.equal(held["a.weight"], before["a.weight"])


def test_off_again_is_the_same_bytes_over_a_hundred_switches() -> None:
    held, before = weights(), weights()
    merged, random = merging(held), Random(3)

    for _ in range(100):
        merged.apply(random.sample([A, B], random.randrange(3)))
        merged.apply([])
        assert all(torch.equal(held[key], before[key]) for key in before)


def test_what_came_before_leaves_no_trace_in_the_next() -> None:
    direct, after = weights(), weights()
    merging(direct).apply([B])
    switched = merging(after)

    for each in ([A], [A, B], [B]):
        switched.apply(each)

    assert all(torch.equal(direct[key], after[key]) for key in direct)


def test_two_in_one_picture_are_added_in_their_order() -> None:
    held, before = weights(), weights()

    merging(held).apply([A, B])

    both = with_lora(before["b.weight"], A, "b.weight") + (
        with_lora(before["b.weight"], B, "b.weight") - before["b.weight"].float()
    )
    torch.testing.assert_close(held["b.weight"].float(), both, rtol=0.02, atol=0.02)


def test_another_strength_of_the_same_file_is_another_lora() -> None:
    held, direct = weights(), weights()
    merged = merging(held)
    half = Lora(A.name, 0.5, A.factors, {})

    merged.apply([A])
    merged.apply([half])
    merging(direct).apply([half])

    assert all(torch.equal(held[key], direct[key]) for key in direct)


def test_weights_stay_where_they_lie() -> None:
    held = weights()
    addresses = {key: weight.data_ptr() for key, weight in held.items()}
    merged = merging(held)

    for each in ([A], [B], []):
        merged.apply(each)

    assert {key: weight.data_ptr() for key, weight in held.items()} == addresses


def test_the_same_again_touches_nothing() -> None:
    held = weights()
    merged = merging(held)
    merged.apply([A])
    held["a.weight"].zero_()

    merged.apply([A])

    assert not held["a.weight"].any()


def test_an_error_on_the_way_leaves_nothing_that_the_next_call_does_not_put_right() -> None:
    held, before = weights(), weights()
    merged = merging(held)
    broken = Lora(
        "broken",
        1.0,
        [*A.factors, Factors("a.weight", drawn(3, 2, seed=1), drawn(2, 5, seed=2), 1.0)],
        {},
    )

    with pytest.raises(RuntimeError):
        merged.apply([broken])
    merged.apply([])

    assert all(torch.equal(held[key], before[key]) for key in before)


def test_a_part_of_a_fused_weight_is_changed_alone() -> None:
    held, before = weights(), weights()
    up, down = drawn(16, 4, seed=1), drawn(4, 32, seed=2)
    part = Lora("part", 1.0, [Factors("a.weight", up, down, 1.0, (0, 16, 16))], {})

    merging(held).apply([part])

    changed = before["a.weight"].float()
    changed[16:32] += up.float() @ down.float()
    torch.testing.assert_close(held["a.weight"].float(), changed, rtol=0.01, atol=0.02)
    assert torch.equal(held["a.weight"][:16], before["a.weight"][:16])


def test_of_a_lora_of_a_hundredth_of_the_weights_next_to_all_acts() -> None:
    """Rounding to bfloat16 takes no part of it away that matters: 1 % of the norm, rank 16."""
    weight = drawn(1024, 1024, seed=1)
    up, down = drawn(1024, 16, seed=2).float(), drawn(16, 1024, seed=3).float()
    wanted = up @ down
    scale = 0.01 * weight.float().norm() / wanted.norm()
    held = {"w": weight.clone()}

    merging(held).apply([Lora("l", 1.0, [Factors("w", up, down, float(scale))], {})])

    moved = held["w"].float() - weight.float()
    share = float((moved * wanted).sum() / (wanted * wanted).sum() / scale)
    assert share == pytest.approx(1.0, abs=0.02)


def test_restoring_gives_the_originals_back_and_keeps_none() -> None:
    held, before = weights(), weights()
    merged = merging(held)
    merged.apply([A])

    merged.restore()
    held["a.weight"].zero_()  # somebody else's change
    merged.apply([])

    assert torch.equal(held["b.weight"], before["b.weight"])
    assert not held["a.weight"].any()


def adapter(**other: Any) -> Any:
    told = {"middle": None, "dora_scale": None, "reshape": None} | other
    weights = (drawn(8, 4, seed=1), drawn(4, 6, seed=2), 2.0, *told.values())
    return SimpleNamespace(name="lora", weights=weights)


def test_comfyuis_adapters_become_factors_with_their_alpha() -> None:
    plain, fused = factors({"a.weight": adapter()}), factors({("a.weight", (0, 2, 4)): adapter()})

    assert plain is not None
    assert fused is not None
    (found,), (sliced,) = plain, fused
    assert (found.key, found.scale, found.part) == ("a.weight", 0.5, None)
    assert sliced.part == (0, 2, 4)


@pytest.mark.parametrize(
    "patches",
    [
        {"a.weight": adapter(dora_scale=drawn(8, seed=3))},
        {"a.weight": adapter(middle=drawn(4, 4, seed=3))},
        {"a.weight": adapter(reshape=[8, 8])},
        {"a.weight": SimpleNamespace(name="lokr", weights=())},
        {"a.weight": ("diff", (drawn(8, 6, seed=1),))},
        {("a.weight", (0, 0, 4), lambda weight: weight): adapter()},
        {"a.weight": adapter(), "b.weight": SimpleNamespace(name="loha", weights=())},
    ],
)
def test_what_is_no_plain_lora_is_left_to_comfyui(patches: dict[Any, Any]) -> None:
    assert factors(patches) is None
