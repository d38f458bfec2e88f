from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="`make nodes` brings it")

from handlers.comfyui.node_pack.operations import taking_weights_over  # noqa: E402

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
