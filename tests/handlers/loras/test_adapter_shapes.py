"""Each shape that ComfyUI can apply, and each beside it that it cannot."""

from typing import Any

import pytest

from handlers.loras.adapter_shapes import shape_problem
from handlers.loras.adapters import Adapter, read_adapters
from handlers.loras.bases import Linear
from handlers.loras.header import Header, Tensor

Shapes = dict[str, tuple[int, ...]]
MATRIX = Linear(12, 20)
CONVOLUTION = Linear(12, 20 * 9, 9)
POINT = Linear(12, 20, 1)


def adapter(shapes: Shapes) -> Adapter:
    tensors = {
        f"x.{name}": Tensor(f"x.{name}", "F16", shape, 0, 0) for name, shape in shapes.items()
    }
    [found], unread = read_adapters(Header(tensors, {}))
    assert not unread
    return found


def problem(linear: Linear, **shapes: Any) -> str | None:
    return shape_problem(adapter(shapes), linear)


LORA: Shapes = {"lora_down.weight": (4, 20), "lora_up.weight": (12, 4)}
LOHA: Shapes = {
    "hada_w1_a": (12, 4),
    "hada_w1_b": (4, 20),
    "hada_w2_a": (12, 4),
    "hada_w2_b": (4, 20),
}
LOKR: Shapes = {"lokr_w1": (3, 4), "lokr_w2": (4, 5)}
FACTORED: Shapes = {
    "lokr_w1_a": (3, 2), "lokr_w1_b": (2, 4), "lokr_w2_a": (4, 2), "lokr_w2_b": (2, 5),
}  # fmt: skip


@pytest.mark.parametrize(
    ("linear", "shapes"),
    [
        (MATRIX, LORA),
        (MATRIX, {**LORA, "alpha": ()}),
        (MATRIX, {**LORA, "dora_scale": (12, 1)}),
        (MATRIX, {**LORA, "dora_scale": (1, 20)}),
        (CONVOLUTION, {"lora_down.weight": (4, 20, 3, 3), "lora_up.weight": (12, 4, 1, 1)}),
        (CONVOLUTION, {"lora_down.weight": (4, 20, 3, 3), "lora_up.weight": (12, 4, 1, 1),
                       "dora_scale": (12, 1, 1, 1)}),
        (CONVOLUTION, {"lora_down.weight": (4, 20, 1, 1), "lora_up.weight": (12, 4, 1, 1),
                       "lora_mid.weight": (4, 4, 3, 3)}),
        (MATRIX, LOHA),
        (MATRIX, {**LOHA, "dora_scale": (12, 1)}),
        (CONVOLUTION, {**LOHA, "hada_w1_b": (4, 180), "hada_w2_b": (4, 180)}),
        (CONVOLUTION, {"hada_t1": (4, 4, 3, 3), "hada_w1_a": (4, 12), "hada_w1_b": (4, 20),
                       "hada_t2": (4, 4, 3, 3), "hada_w2_a": (4, 12), "hada_w2_b": (4, 20)}),
        (MATRIX, LOKR),
        (MATRIX, FACTORED),
        (MATRIX, {"lokr_w1": (3, 4), "lokr_w2_a": (4, 2), "lokr_w2_b": (2, 5), "alpha": (1,)}),
        (CONVOLUTION, {"lokr_w1": (3, 4), "lokr_w2": (4, 5, 3, 3)}),
        (CONVOLUTION, {"lokr_w1": (3, 4), "lokr_w2_a": (4, 2), "lokr_w2_b": (2, 45)}),
        (MATRIX, {"diff": (12, 20)}),
        (CONVOLUTION, {"diff": (12, 20, 3, 3)}),
        (POINT, {"diff": (12, 20, 1, 1)}),
    ],
)  # fmt: skip
def test_what_comfyui_applies_fits(linear: Linear, shapes: Shapes) -> None:
    assert problem(linear, **shapes) is None


@pytest.mark.parametrize(
    ("linear", "shapes", "said"),
    [
        (MATRIX, {**LORA, "dora_scale": (12,)}, "dora_scale' has shape [12], wanted [12, 1]"),
        (MATRIX, {**LORA, "dora_scale": (20, 1)}, "wanted [12, 1]"),
        (CONVOLUTION, {**LORA, "lora_down.weight": (4, 180), "dora_scale": (12, 1)},
         "wanted [12, 1, 1, 1]"),
        (MATRIX, {**LORA, "lora_mid.weight": (4, 4)}, "lora_mid"),
        (MATRIX, {**LOHA, "hada_w2_b": (4, 19)}, "hada_w2_b' has shape [4, 19], wanted [4, 20]"),
        (MATRIX, {**LOHA, "hada_w1_a": (12, 3)}, "wanted [12, 4]"),
        (MATRIX, {**LOHA, "hada_w1_a": (12,)}, "no matrices"),
        (CONVOLUTION, {**LOHA, "hada_t1": (4, 4, 3, 3)}, "no t2 beside it"),
        (MATRIX, {"hada_w1_a": (12, 4)}, "no w1_b beside it"),
        (MATRIX, {**LOKR, "lokr_w2": (4, 4)}, "make [12, 16], wanted [12, 20]"),
        (MATRIX, {**LOKR, "lokr_w2": (5, 4)}, "make [15, 16]"),
        (MATRIX, {"lokr_w1": (3, 4)}, "no w2_a beside it"),
        (MATRIX, {"lokr_w2": (4, 5)}, "no w1_a beside it"),
        (MATRIX, {**LOKR, "lokr_w1_a": (3, 2)}, "left out beside"),
        (MATRIX, {"lokr_w1": (3, 4), "lokr_w2": ()}, "no matrix"),
        (MATRIX, {**FACTORED, "lokr_w2_b": (3, 5)}, "wanted [4, 3]"),
        (CONVOLUTION, {"lokr_w1": (3, 4), "lokr_t2": (2, 2, 3, 3), "lokr_w2_a": (2, 4),
                       "lokr_w2_b": (2, 5)}, "lokr_t2' is a core"),
        (MATRIX, {"diff": (20, 12)}, "wanted [12, 20]"),
        (MATRIX, {"diff": (12, 20), "dora_scale": (12, 1)}, "dora_scale' is left out beside"),
        (CONVOLUTION, {"diff": (12, 180)}, "wanted [12, 20, 3, 3]"),
    ],
)  # fmt: skip
def test_what_comfyui_cannot_apply_is_named(linear: Linear, shapes: Shapes, said: str) -> None:
    assert said in str(problem(linear, **shapes))
