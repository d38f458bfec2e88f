"""Models whose layers have almost Flux's names."""

from collections.abc import Mapping

import pytest

from config.errors import LoraMismatch
from handlers.loras.bases import flux
from handlers.loras.description import describe
from handlers.loras.family import Family
from handlers.loras.fit import require_fit
from handlers.loras.header import Header, Tensor
from tests.support.safetensors_files import (
    KOHYA,
    PEFT,
    Spec,
    Specs,
    flux_diffusers,
    flux_native,
    lora,
    prefixed,
    underscored,
)


def header(specs: Specs, metadata: Mapping[str, str] | None = None) -> Header:
    tensors = {name: Tensor(name, each.dtype, each.shape, 0, 0) for name, each in specs.items()}
    return Header(tensors, metadata or {})


H = 3072
ATTENTION = {
    f"transformer_blocks.{n}.attn.{part}": (H, H)
    for n in range(60)
    for part in ("to_q", "to_k", "add_q_proj", "to_add_out")
}
FIRST = {name: each for name, each in ATTENTION.items() if int(name.split(".")[1]) < 19}
QWEN = {**FIRST, "transformer_blocks.0.img_mlp.net.0.proj": (4 * H, H)}
FLUX2 = {
    "double_blocks.0.img_attn.qkv": (3 * 6144, 6144),
    "single_blocks.0.linear1": (9 * 6144, 6144),
}
KLEIN = {f"single_blocks.{n}.linear1": (9 * H, H) for n in range(20)}
FLUX2_DIFFUSERS = {"single_transformer_blocks.0.attn.to_qkv_mlp_proj": (9 * H, H)}
HUNYUAN = {
    "double_blocks.0.img_attn.qkv": (3 * H, H),
    "double_blocks.0.img_mlp.fc1": (4 * H, H),
}
HUNYUAN_ATTENTION = flux_native(H, range(20), range(40))
CONTROL = {
    **lora(flux_native(H, [0], [0]), PEFT, 4),
    **lora({"img_in": (H, 128)}, PEFT, 4),
    "single_blocks.0.norm.key_norm.scale": Spec((128,)),
}


@pytest.mark.parametrize(
    ("specs", "family"),
    [
        (lora(prefixed("transformer.", QWEN), PEFT, 4), Family.QWEN_IMAGE),
        (lora(prefixed("transformer.", ATTENTION), PEFT, 4), Family.QWEN_IMAGE),
        (lora(underscored("lora_unet_", QWEN), KOHYA, 4), Family.QWEN_IMAGE),
        (lora(prefixed("diffusion_model.", FLUX2), PEFT, 4), Family.FLUX2),
        (lora(underscored("lora_unet_", KLEIN), KOHYA, 4), Family.FLUX2),
        (lora(prefixed("transformer.", FLUX2_DIFFUSERS), PEFT, 4), Family.FLUX2),
        (lora(prefixed("diffusion_model.", flux_native(H, [0], range(48))), PEFT, 4), Family.FLUX2),
        (lora(underscored("lora_unet_", HUNYUAN), KOHYA, 4), Family.HUNYUAN_VIDEO),
        (lora(underscored("lora_unet_", HUNYUAN_ATTENTION), KOHYA, 4), Family.HUNYUAN_VIDEO),
        (CONTROL, Family.FLUX_CONTROL),
        (lora(prefixed("transformer.", flux_diffusers()), PEFT, 4), Family.FLUX),
        (lora(prefixed("diffusion_model.", flux_native()), PEFT, 4), Family.FLUX),
    ],
)
def test_kin_of_flux_is_told_as_what_it_is(specs: Specs, family: Family) -> None:
    found = describe(header(specs))
    assert found.family is family
    if family is Family.FLUX:
        require_fit(found, flux())
        return
    with pytest.raises(LoraMismatch, match=f"is one for {family}, the model is flux") as caught:
        require_fit(found, flux())
    assert "which no kind here" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("metadata", "family"),
    [
        ({"modelspec.architecture": "qwen-image/lora"}, Family.QWEN_IMAGE),
        ({"ss_base_model_version": "qwen_image"}, Family.QWEN_IMAGE),
        ({"modelspec.architecture": "Flux.2-dev/lora"}, Family.FLUX2),
        ({"ss_base_model_version": "hunyuan_video"}, Family.HUNYUAN_VIDEO),
        ({"modelspec.architecture": "flux-1-dev/lora"}, Family.FLUX),
        ({"ss_base_model_version": "flux1"}, Family.FLUX),
        ({"comment": "not for qwen-image"}, Family.FLUX),
    ],
)
def test_where_every_name_and_shape_is_fluxs_the_metadata_tells(
    metadata: Mapping[str, str], family: Family
) -> None:
    specs = lora(prefixed("transformer.", FIRST), PEFT, 4)
    assert describe(header(specs, metadata)).family is family
