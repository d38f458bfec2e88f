"""LoRAs of many makers, each with what should be told of it."""

from dataclasses import dataclass

from handlers.loras.description import KeyFormat
from handlers.loras.family import Family
from tests.support.safetensors_files import (
    KOHYA,
    OLD_DIFFUSERS,
    PEFT,
    X_FLUX,
    Spec,
    Specs,
    flux_diffusers,
    flux_native,
    flux_processors,
    lora,
    prefixed,
    underscored,
    unet_attention,
    wan,
    z_image_diffusers,
    z_image_native,
)


@dataclass(frozen=True)
class Example:
    specs: Specs
    family: Family
    key_format: KeyFormat
    ranks: tuple[int, ...]
    metadata: dict[str, str] | None = None


CLIP = {"text_model.encoder.layers.0.self_attn.q_proj": (768, 768)}
AI_TOOLKIT = {"software": '{"name": "ai-toolkit", "version": "0.7"}'}

FLUX = {
    "kohya": Example(
        {
            **lora(underscored("lora_unet_", flux_native()), KOHYA, 16, alpha=8.0),
            **lora(underscored("lora_te1_", CLIP), KOHYA, 4, alpha=4.0),
        },
        Family.FLUX,
        KeyFormat.KOHYA,
        (16,),
    ),
    "kohya of one double block": Example(
        lora(underscored("lora_unet_", flux_native(doubles=[7], singles=[])), KOHYA, 1),
        Family.FLUX,
        KeyFormat.KOHYA,
        (1,),
    ),
    "diffusers": Example(
        lora(prefixed("transformer.", flux_diffusers()), PEFT, 32, dtype="BF16"),
        Family.FLUX,
        KeyFormat.DIFFUSERS,
        (32,),
    ),
    "diffsynth": Example(lora(flux_diffusers(), PEFT, 16), Family.FLUX, KeyFormat.DIFFUSERS, (16,)),
    "diffusers of double blocks": Example(
        lora(prefixed("transformer.", flux_diffusers(singles=[])), PEFT, 2),
        Family.FLUX,
        KeyFormat.DIFFUSERS,
        (2,),
    ),
    "ai-toolkit, diffusers' names": Example(
        lora(prefixed("transformer.", flux_diffusers()), PEFT, 128, dtype="BF16"),
        Family.FLUX,
        KeyFormat.AI_TOOLKIT,
        (128,),
        AI_TOOLKIT,
    ),
    "ai-toolkit, native names": Example(
        lora(prefixed("diffusion_model.", flux_native()), PEFT, 64, dtype="F32"),
        Family.FLUX,
        KeyFormat.AI_TOOLKIT,
        (64,),
    ),
    "ranks that differ": Example(
        {
            **lora(prefixed("diffusion_model.", flux_native(singles=[])), PEFT, 8),
            **lora(prefixed("diffusion_model.", flux_native(doubles=[])), PEFT, 24),
        },
        Family.FLUX,
        KeyFormat.AI_TOOLKIT,
        (8, 24),
    ),
    "x-flux": Example(lora(flux_processors(), X_FLUX, 16), Family.FLUX, KeyFormat.X_FLUX, (16,)),
    "onetrainer": Example(
        lora(underscored("lora_transformer_", flux_diffusers()), KOHYA, 16, alpha=1.0),
        Family.FLUX,
        KeyFormat.ONETRAINER,
        (16,),
    ),
    "float8": Example(
        lora(prefixed("transformer.", flux_diffusers(doubles=[0])), PEFT, 4, dtype="F8_E4M3"),
        Family.FLUX,
        KeyFormat.DIFFUSERS,
        (4,),
    ),
}

SDXL_BLOCKS = {
    **unet_attention("input_blocks.4.1", 640, 2048, 2),
    **unet_attention("middle_block.1", 1280, 2048, 10),
    **unet_attention("output_blocks.5.1", 640, 2048, 2),
}
SDXL_CONVOLUTION = {
    "lora_unet_input_blocks_4_0_in_layers_2.lora_down.weight": Spec((4, 320, 3, 3)),
    "lora_unet_input_blocks_4_0_in_layers_2.lora_up.weight": Spec((640, 4, 1, 1)),
    "lora_unet_output_blocks_2_2_conv.lora_down.weight": Spec((4, 1280, 1, 1)),
    "lora_unet_output_blocks_2_2_conv.lora_mid.weight": Spec((4, 4, 3, 3)),
    "lora_unet_output_blocks_2_2_conv.lora_up.weight": Spec((1280, 4, 1, 1)),
}
SDXL = {
    "kohya": Example(
        {
            **lora(underscored("lora_unet_", SDXL_BLOCKS), KOHYA, 8, alpha=4.0),
            **lora(underscored("lora_te2_", CLIP), KOHYA, 8),
        },
        Family.SDXL,
        KeyFormat.KOHYA,
        (8,),
    ),
    "kohya with convolutions": Example(
        {**lora(underscored("lora_unet_", SDXL_BLOCKS), KOHYA, 8), **SDXL_CONVOLUTION},
        Family.SDXL,
        KeyFormat.KOHYA,
        (4, 8),
    ),
    "diffusers": Example(
        lora(
            {
                "unet." + name.replace(".to_", ".processor.to_").replace("to_out.0", "to_out"): each
                for name, each in unet_attention("up_blocks.0.attentions.2", 1280, 2048, 10).items()
                if "attn" in name
            },
            OLD_DIFFUSERS,
            4,
        ),
        Family.SDXL,
        KeyFormat.DIFFUSERS,
        (4,),
    ),
}

Z_IMAGE = {
    "diffsynth": Example(
        lora(z_image_diffusers(), PEFT, 16), Family.Z_IMAGE, KeyFormat.DIFFUSERS, (16,)
    ),
    "ai-toolkit": Example(
        lora(prefixed("diffusion_model.", z_image_diffusers()), PEFT, 16, dtype="BF16"),
        Family.Z_IMAGE,
        KeyFormat.AI_TOOLKIT,
        (16,),
    ),
    "kohya": Example(
        lora(underscored("lora_unet_", z_image_native()), KOHYA, 4, alpha=4.0),
        Family.Z_IMAGE,
        KeyFormat.KOHYA,
        (4,),
    ),
}

SD1_BLOCKS = {
    **unet_attention("down_blocks.0.attentions.0", 320, 768, 1),
    **unet_attention("up_blocks.3.attentions.2", 320, 768, 1),
}
OTHERS = {
    "SD 1.5 of kohya": Example(
        {
            **lora(underscored("lora_unet_", SD1_BLOCKS), KOHYA, 128),
            **lora(underscored("lora_te_", CLIP), KOHYA, 128),
        },
        Family.SD1,
        KeyFormat.KOHYA,
        (128,),
    ),
    "SD 1.5 without cross attention": Example(
        lora({"lora_unet_input_blocks_1_1_proj_in": (320, 320)}, KOHYA, 4),
        Family.SD1,
        KeyFormat.KOHYA,
        (4,),
    ),
    "Wan": Example(
        lora(prefixed("diffusion_model.", wan()), PEFT, 32),
        Family.WAN,
        KeyFormat.AI_TOOLKIT,
        (32,),
    ),
    "Wan of kohya": Example(
        lora(underscored("lora_unet__", wan()), KOHYA, 32), Family.WAN, KeyFormat.KOHYA, (32,)
    ),
    "of nobody known": Example(
        lora({"net.stage.0.mix": (64, 64)}, PEFT, 4), Family.UNKNOWN, KeyFormat.UNKNOWN, (4,)
    ),
    "SD 2.1, read as neither": Example(
        lora(underscored("lora_unet_", unet_attention("middle_block.1", 1280, 1024, 1)), KOHYA, 4),
        Family.UNKNOWN,
        KeyFormat.KOHYA,
        (4,),
    ),
}

EVERY = {
    f"{family}: {name}": example
    for family, examples in (
        ("Flux", FLUX),
        ("SDXL", SDXL),
        ("Z-Image", Z_IMAGE),
        ("other", OTHERS),
    )
    for name, example in examples.items()
}
