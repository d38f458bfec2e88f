from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="`make nodes` brings it")

from handlers.comfyui.node_pack.operations import (  # noqa: E402
    taking_weights_over,
    with_scales,
)
from handlers.comfyui.node_pack.scaled_fp8 import in_full, put_in_eight_bits  # noqa: E402

pytestmark = pytest.mark.nodes


class Stock:
    """ComfyUI's layers, as far as they are torch's."""

    Linear = torch.nn.Linear


def layer(dtype: Any = torch.float32) -> Any:
    return taking_weights_over(Stock).Linear(4, 3, dtype=dtype)


def test_weights_stay_where_they_were_read_to() -> None:
    state = {"weight": torch.randn(3, 4), "bias": torch.randn(3)}
    linear = layer()

    linear.load_state_dict(state)

    assert linear.weight.data_ptr() == state["weight"].data_ptr()
    assert linear.bias.data_ptr() == state["bias"].data_ptr()
    assert not linear.weight.requires_grad


def test_weights_of_another_type_are_cast_as_ever() -> None:
    state = {"weight": torch.randn(3, 4).bfloat16(), "bias": torch.randn(3).bfloat16()}
    linear = layer()

    linear.load_state_dict(state)

    assert linear.weight.dtype is torch.float32
    assert torch.equal(linear.weight, state["weight"].float())


def test_a_weight_of_another_shape_is_refused_as_ever() -> None:
    with pytest.raises(RuntimeError, match="size mismatch"):
        layer().load_state_dict({"weight": torch.randn(2, 4), "bias": torch.randn(3)})


def test_what_is_missing_is_told_as_ever() -> None:
    missing, unexpected = layer().load_state_dict({"weight": torch.randn(3, 4)}, strict=False)

    assert (missing, unexpected) == (["bias"], [])


NAME = "layers.0.w.weight"


def small(dtype: Any = torch.bfloat16, bias: bool = True) -> tuple[Any, Any]:
    """A layer in 8 bits, and its original."""
    state = {NAME: torch.randn(32, 16, generator=torch.Generator().manual_seed(1)).bfloat16()}
    original = state[NAME]
    put_in_eight_bits(state, {NAME: original}.__getitem__)
    layer = with_scales(Stock).Linear(16, 32, dtype=dtype, bias=bias)
    biases = {"bias": torch.ones(32, dtype=dtype)} if bias else {}
    layer.load_state_dict({"weight": state[NAME], **biases})
    assert layer.source == NAME
    assert layer.weight.data_ptr() == state[NAME].data_ptr()
    return layer, original


def model() -> Any:
    """Three blocks of two layers in 8 bits."""
    names = [f"layers.{block}.{layer}.weight" for block in range(3) for layer in range(2)]
    state = {name: torch.randn(32, 32).bfloat16() for name in names}
    put_in_eight_bits(state, state.__getitem__)
    layers = [with_scales(Stock).Linear(32, 32, bias=False, dtype=torch.bfloat16) for _ in names]
    blocks = [torch.nn.Sequential(*layers[at : at + 2]) for at in range(0, len(layers), 2)]
    made = torch.nn.ModuleDict({"layers": torch.nn.ModuleList(blocks)})
    made.load_state_dict(state)
    return made


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize("bias", [True, False])
def test_a_layer_in_eight_bits_computes_next_to_the_same(dtype: Any, bias: bool) -> None:
    layer, original = small(dtype, bias)
    x = torch.randn(2, 5, 16, generator=torch.Generator().manual_seed(2)).to(dtype)

    out = layer(x)

    right = torch.nn.functional.linear(x.float(), original.float(), 1.0 * bias * torch.ones(32))
    assert out.dtype is dtype
    assert (out.float() - right).norm() / right.norm() < 0.05
    assert set(layer.state_dict()) == {"weight"} | ({"bias"} if bias else set())


def test_a_layer_that_was_given_its_weight_in_full_is_as_ever() -> None:
    linear = with_scales(Stock).Linear(4, 3)
    linear.load_state_dict({"weight": torch.randn(3, 4), "bias": torch.randn(3)})
    x = torch.randn(2, 4)

    assert torch.equal(linear(x), torch.nn.functional.linear(x, linear.weight, linear.bias))
    assert linear.convert_weight(linear.weight) is linear.weight


def test_what_comfyui_patches_as_it_goes_is_the_weight_in_full() -> None:
    layer, _ = small()
    x = torch.randn(3, 16).bfloat16()
    layer.weight_function = [lambda weight: weight + 1]
    layer.bias_function = []

    whole = in_full(layer.weight, layer.scale, torch.bfloat16) + 1

    assert torch.equal(layer(x), torch.nn.functional.linear(x, whole, layer.bias))


def test_comfyui_patches_from_the_original_and_gets_the_same_bytes_back() -> None:
    layer, original = small()
    address, before = layer.weight.data_ptr(), layer.weight.data.clone()
    patched = layer.convert_weight(layer.weight.float(), inplace=True)
    assert torch.equal(patched, original.float())

    layer.set_weight(patched + 1, inplace_update=True, seed=1)
    whole = in_full(layer.weight, layer.scale, torch.float32)
    assert float((whole - original.float()).mean()) == pytest.approx(1, abs=0.02)

    layer.set_weight(original, inplace_update=True)
    assert layer.weight.data_ptr() == address
    assert torch.equal(layer.weight.view(torch.uint8), before.view(torch.uint8))
    assert layer.set_weight(original, return_weight=True).dtype is torch.float8_e4m3fn


def test_blocks_in_eight_bits_share_one_graph_for_any_number_of_rows() -> None:
    graphs = []

    def noted(graph: Any, _: Any) -> Any:
        graphs.append(graph)
        return graph

    for own in [*model()["layers"], *model()["layers"]]:  # of a model that is loaded again too
        compiled = torch.compile(own, backend=noted, dynamic=True, fullgraph=True)
        with torch.inference_mode():
            for rows in (7, 9, 30):
                x = torch.randn(2, rows, 32).bfloat16()
                assert torch.equal(compiled(x), own(x))

    assert len(graphs) == 1
