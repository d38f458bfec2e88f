from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="`make nodes` brings it")

from handlers.comfyui.node_pack.scaled_fp8 import (  # noqa: E402
    LARGEST,
    NOTE,
    has_units,
    in_full,
    is_scaled,
    product,
    put_in_eight_bits,
    rounded,
    scale_of,
)

pytestmark = pytest.mark.nodes


def drawn(*shape: int, seed: int = 1) -> Any:
    made = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    return made.bfloat16()


def error(of: Any, right: Any) -> float:
    return float((of.float() - right.float()).norm() / right.float().norm())


def test_a_weight_loses_no_more_than_three_bits_of_fraction_do() -> None:
    weight = drawn(256, 256) * torch.logspace(-3, 1, 256)[:, None].bfloat16()
    scale = scale_of(weight)

    assert error(in_full(rounded(weight, scale), scale, torch.float32), weight) < 0.03
    assert scale.shape == (256, 1)
    assert scale.dtype is torch.float32


def test_each_row_has_room_for_as_much_again() -> None:
    weight = drawn(64, 64)
    scale = scale_of(weight)

    twice = in_full(rounded(2 * weight, scale), scale, torch.float32)

    assert error(twice, 2 * weight) < 0.03
    assert rounded(weight, scale).float().abs().max() <= LARGEST / 2


def test_a_row_of_zeros_can_take_what_a_lora_adds() -> None:
    weight = drawn(64, 64)
    weight[3] = 0
    scale = scale_of(weight)
    weight[3] = 0.01 * drawn(64)

    assert error(in_full(rounded(weight, scale), scale, torch.float32)[3], weight[3]) < 0.03


def test_a_product_has_the_error_of_eight_bits_and_not_more() -> None:
    x, weight, bias = drawn(2, 40, 128, seed=2), drawn(96, 128, seed=3), drawn(96, seed=4)
    x[0, 0] *= 1000  # has no part in the scales of other rows
    scale = scale_of(weight)

    out = product(x, rounded(weight, scale), scale, bias)

    right = torch.nn.functional.linear(x.float(), weight.float(), bias.float())
    assert (out.shape, out.dtype) == (right.shape, x.dtype)
    assert error(out[1], right[1]) < 0.045
    assert error(out[0, :1], right[0, :1]) < 0.06


def test_a_product_without_bias_of_rows_of_zeros_is_zero() -> None:
    weight = drawn(32, 32)
    scale = scale_of(weight)

    out = product(torch.zeros(4, 32), rounded(weight, scale), scale, None)

    assert torch.equal(out, torch.zeros(4, 32))


@pytest.mark.parametrize(
    "name",
    [
        "double_blocks.0.img_attn.qkv.weight",
        "model.diffusion_model.single_blocks.37.linear1.weight",
        "layers.3.feed_forward.w1.weight",
    ],
)
def test_linear_layers_of_blocks_are_in_eight_bits(name: str) -> None:
    assert is_scaled(name, (64, 32), torch.bfloat16)


@pytest.mark.parametrize(
    ("name", "shape", "dtype"),
    [
        ("double_blocks.0.img_mod.lin.weight", (64, 32), torch.bfloat16),
        ("single_blocks.0.modulation.lin.weight", (64, 32), torch.bfloat16),
        ("layers.0.adaLN_modulation.0.weight", (64, 32), torch.bfloat16),
        ("double_blocks.0.img_attn.qkv.bias", (64,), torch.bfloat16),
        ("single_blocks.0.norm.query_norm.weight", (64,), torch.bfloat16),
        ("final_layer.linear.weight", (64, 32), torch.bfloat16),
        ("img_in.weight", (64, 32), torch.bfloat16),
        ("double_blocks.0.img_attn.qkv.weight", (64, 32), torch.float16),
        ("double_blocks.0.img_attn.qkv.weight", (64, 24), torch.bfloat16),
    ],
)
def test_all_else_keeps_its_type(name: str, shape: tuple[int, ...], dtype: Any) -> None:
    assert not is_scaled(name, shape, dtype)


def test_a_state_is_put_into_eight_bits_and_each_weight_knows_its_scale_and_original() -> None:
    name = "layers.0.w.weight"
    state = {name: drawn(32, 16), "img_in.weight": drawn(32, 16, seed=2)}
    before = dict(state)

    assert put_in_eight_bits(state, before.__getitem__) == {name}

    told = getattr(state[name], NOTE)
    assert state["img_in.weight"] is before["img_in.weight"]
    assert state[name].nbytes == 32 * 16
    assert error(in_full(state[name], told.scale, torch.float32), before[name]) < 0.03
    assert told.name == name
    assert told.original() is before[name]


@pytest.mark.parametrize(("capability", "has"), [((8, 6), False), ((8, 9), True), ((9, 0), True)])
def test_a_card_has_units_since_ada(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], has: bool
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)

    assert has_units(torch.device("cuda", 0)) is has
