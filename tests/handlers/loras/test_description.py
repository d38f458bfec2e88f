import math

import pytest

from config.errors import LoraMismatch
from handlers.loras.description import Lora, describe, read_alpha
from handlers.loras.header import BytesRanges, Header, Tensor, read_header
from tests.handlers.loras.examples import EVERY, FLUX, Example
from tests.support.safetensors_files import (
    KOHYA,
    PEFT,
    Spec,
    Specs,
    flux_native,
    lora,
    prefixed,
    safetensors,
    underscored,
)


def header_of(specs: Specs, metadata: dict[str, str] | None = None) -> Header:
    tensors = {name: Tensor(name, each.dtype, each.shape, 0, 0) for name, each in specs.items()}
    return Header(tensors, metadata or {})


def described(specs: Specs) -> Lora:
    return describe(header_of(specs))


@pytest.mark.parametrize("example", EVERY.values(), ids=EVERY.keys())
def test_family_habit_and_ranks_are_told(example: Example) -> None:
    found = describe(header_of(example.specs, example.metadata))
    assert (found.family, found.key_format, found.ranks) == (
        example.family,
        example.key_format,
        example.ranks,
    )
    assert not found.unread


def test_what_belongs_to_the_text_encoder_is_counted_apart() -> None:
    found = described(FLUX["kohya"].specs)
    assert len(found.adapters) == 19 * 8 + 38 * 2
    assert [each.stem for each in found.text_encoder_adapters] == [
        "lora_te1_text_model_encoder_layers_0_self_attn_q_proj"
    ]


def test_what_comfyui_leaves_out_is_listed() -> None:
    stem = "diffusion_model.single_blocks.0.linear1"
    found = described(
        {
            **lora({stem: (21_504, 3072)}, PEFT, 4, alpha=4.0),
            f"{stem}.dora_scale": Spec((21_504, 1)),
            f"{stem}.diff_b": Spec((21_504,)),
            f"{stem}.lora_B.bias": Spec((21_504,)),
            "lora_te1_x.anything": Spec((1,)),
            "nowhere.alpha": Spec(()),
            "epoch": Spec(()),
        }
    )
    assert found.unread == [f"{stem}.lora_B.bias", "epoch", "nowhere.alpha"]
    assert (found.read, found.kinds) == (5, ("dora", "lora"))


def test_half_a_pair_is_refused_with_the_half_that_lacks() -> None:
    specs = dict(FLUX["kohya"].specs)
    del specs["lora_unet_single_blocks_3_linear2.lora_up.weight"]
    with pytest.raises(LoraMismatch, match=r"linear2\.lora_down.* has no .*linear2\.lora_up"):
        described(specs)


def test_a_file_without_any_lora_is_refused() -> None:
    with pytest.raises(LoraMismatch, match="holds no LoRA: 0 tensors"):
        described({})
    whole = {f"{name}.weight": Spec(shape) for name, shape in flux_native().items()}
    with pytest.raises(LoraMismatch, match="holds no LoRA: 228 tensors"):
        described(whole)


def test_a_lora_for_text_encoders_alone_is_refused() -> None:
    with pytest.raises(LoraMismatch, match="text encoders only"):
        described(lora({"lora_te1_text_model_encoder_layers_0_mlp_fc1": (3072, 768)}, KOHYA, 4))


@pytest.mark.parametrize(("dtype", "alpha"), [("F16", 8.0), ("F32", 0.3), ("F16", math.inf)])
def test_alpha_is_read_from_its_place_in_the_file(dtype: str, alpha: float) -> None:
    linears = underscored("lora_unet_", flux_native(128, [0], [0]))
    file = BytesRanges(safetensors(lora(linears, KOHYA, 4, dtype=dtype, alpha=alpha)))
    assert read_alpha(file, describe(read_header(file))) == pytest.approx(alpha)


def test_alpha_in_bfloat16_is_the_upper_half_of_a_float32() -> None:
    linears = {"lora_unet_single_blocks_0_linear2": (128, 640)}
    specs = {**lora(linears, KOHYA, 4), "lora_unet_single_blocks_0_linear2.alpha": Spec((), "BF16")}
    body = safetensors(specs)[:-2] + b"\x80\x40"
    assert read_alpha(BytesRanges(body), describe(read_header(BytesRanges(body)))) == 4.0


def test_without_alpha_there_is_none() -> None:
    file = BytesRanges(
        safetensors(lora(prefixed("diffusion_model.", flux_native(128, [0], [0])), PEFT, 4))
    )
    assert read_alpha(file, describe(read_header(file))) is None
