from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="`make nodes` brings it")

from handlers.comfyui.node_pack.model_options import (  # noqa: E402
    torch_attention,
    with_sigmas_on_processor,
)

pytestmark = pytest.mark.nodes
HEADS, SIZE, TOKENS = 4, 64, 640


def comfyuis(*args: Any, **options: Any) -> str:
    return "ComfyUI's own"


def asked_by_comfyui(q: Any, k: Any, v: Any, *more: Any, **options: Any) -> Any:
    """As every attention of 0.33 comes: with its note of having asked, and a mask by place."""
    options |= {"_inside_attn_wrapper": True, "transformer_options": {"block_index": 0}}
    return torch_attention(comfyuis, q, k, v, HEADS, *more, **options)


def by_hand(q: Any, k: Any, v: Any) -> Any:
    """softmax(q k / root of size) v, for each head. (batch, tokens, heads x size)."""
    q, k, v = (each.unflatten(-1, (HEADS, SIZE)).transpose(1, 2) for each in (q, k, v))
    weights = torch.softmax(q @ k.transpose(-1, -2) / SIZE**0.5, dim=-1)
    return (weights @ v).transpose(1, 2).flatten(2)


def inputs(tokens: int = TOKENS) -> tuple[Any, Any, Any]:
    generator = torch.Generator().manual_seed(1)
    shape = (1, tokens, HEADS * SIZE)
    q, k, v = (torch.randn(shape, generator=generator) for _ in range(3))
    return q, k, v


def test_it_is_the_attention_of_the_formula() -> None:
    q, k, v = inputs()

    torch.testing.assert_close(torch_attention(comfyuis, q, k, v, HEADS), by_hand(q, k, v))


def test_heads_that_stand_apart_already_may_stay_so() -> None:
    q, k, v = inputs()
    a, b, c = (each.unflatten(-1, (HEADS, SIZE)).transpose(1, 2) for each in (q, k, v))

    out = torch_attention(
        comfyuis, a, b, c, HEADS, skip_reshape=True, skip_output_reshape=True, mask=None
    )

    torch.testing.assert_close(out.transpose(1, 2).flatten(2), by_hand(q, k, v))


@pytest.mark.parametrize("options", [{"mask": torch.ones(1)}, {"scale": 0.5}])
def test_what_it_does_not_know_is_left_to_comfyui(options: dict[str, Any]) -> None:
    q, k, v = inputs()

    assert torch_attention(comfyuis, q, k, v, HEADS, **options) == comfyuis()


def test_a_small_one_is_left_to_comfyui() -> None:
    q, k, v = inputs(tokens=16)

    assert torch_attention(comfyuis, q, k, v, HEADS) == comfyuis()


def test_sigmas_are_handed_on_in_the_processors_memory_and_nothing_else_changes() -> None:
    seen: list[Any] = []
    options = {"sigmas": torch.tensor([0.5]), "block": ("input", 1)}

    with_sigmas_on_processor(
        lambda *given, **more: seen.append((given, more)), 1, 2, 3, 4, 5, options
    )

    (*before, handed), _ = seen[0]
    assert before == [1, 2, 3, 4, 5]
    assert handed["sigmas"].device.type == "cpu"
    assert handed["sigmas"] == options["sigmas"]
    assert handed["block"] == ("input", 1)
    assert handed is not options


def test_options_without_sigmas_are_handed_on_as_they_are() -> None:
    seen: list[Any] = []
    options: dict[str, Any] = {}

    with_sigmas_on_processor(lambda *given, **_: seen.append(given[-1]), 1, 2, 3, 4, 5, options)

    assert seen[0] is options


@pytest.mark.parametrize("mask", [(), (None,)])
def test_as_comfyui_asks_for_it_the_attention_is_ours(mask: tuple[None, ...]) -> None:
    q, k, v = inputs()

    torch.testing.assert_close(asked_by_comfyui(q, k, v, *mask), by_hand(q, k, v))


def test_as_comfyui_asks_for_it_a_mask_by_place_is_left_to_comfyui() -> None:
    q, k, v = inputs()

    assert asked_by_comfyui(q, k, v, torch.ones(1)) == comfyuis()
