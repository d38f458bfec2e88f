"""A custom node without nodes: lets ComfyUI load the files of make_models.py.

ComfyUI knows the sizes of Flux, Z-Image, SDXL, their text encoders and VAEs by heart. Here they are
read from the file where it is smaller than any real one. It fits ComfyUI 0.8 and 0.33.
"""

import functools
from collections.abc import Mapping
from importlib import import_module
from typing import Any
from unittest import mock

Weights = Mapping[str, Any]  # name -> tensor

NODE_CLASS_MAPPINGS: dict[str, type] = {}
HEAD = 64  # width of a text encoder's head
QWEN_HEAD = 128
Z_IMAGE: dict[str, Any] = {
    "axes_dims": [32, 48, 48],
    "axes_lens": [1536, 512, 512],
    "rope_theta": 256.0,
    "ffn_dim_multiplier": 8 / 3,
    "z_image_modulation": True,
    "time_scale": 1000.0,
    "pad_tokens_multiple": 32,
}


def clip_sizes(weights: Weights, prefix: str = "") -> dict[str, int] | None:
    """None where the file holds no CLIP below the 768 of the smaller of the real ones."""
    layer = prefix + "text_model.encoder.layers.{}.mlp.fc1.weight"
    shape = _shape(weights, layer.format(0))
    if shape is None or shape[1] >= 768:
        return None
    return {
        "hidden_size": shape[1],
        "projection_dim": shape[1],
        "intermediate_size": shape[0],
        "num_hidden_layers": _count(weights, layer),
        "num_attention_heads": shape[1] // HEAD,
    }


def t5_sizes(weights: Weights, prefix: str = "") -> dict[str, int] | None:
    """None where the file holds no T5 below the smallest published one's 512."""
    layer = prefix + "encoder.block.{}.layer.1.DenseReluDense.wi_1.weight"
    shape = _shape(weights, layer.format(0))
    vocabulary = _shape(weights, prefix + "shared.weight")
    if shape is None or vocabulary is None or shape[1] >= 512:
        return None
    return {
        "d_model": shape[1],
        "d_ff": shape[0],
        "d_kv": HEAD,
        "num_layers": _count(weights, layer),
        "num_heads": shape[1] // HEAD,
        "vocab_size": vocabulary[0],
    }


def qwen_sizes(weights: Weights) -> dict[str, int] | None:
    """None where the file holds no Qwen 3 below the smallest published one's 1024."""
    layer = "model.layers.{}.mlp.gate_proj.weight"
    shape = _shape(weights, layer.format(0))
    queries = _shape(weights, "model.layers.0.self_attn.q_proj.weight")
    keys = _shape(weights, "model.layers.0.self_attn.k_proj.weight")
    vocabulary = _shape(weights, "model.embed_tokens.weight")
    if not (shape and queries and keys and vocabulary) or shape[1] >= 1024:
        return None
    return {
        "hidden_size": shape[1],
        "intermediate_size": shape[0],
        "num_hidden_layers": _count(weights, layer),
        "num_attention_heads": queries[0] // QWEN_HEAD,
        "num_key_value_heads": keys[0] // QWEN_HEAD,
        "vocab_size": vocabulary[0],
    }


def _shape(weights: Weights, name: str) -> tuple[int, ...] | None:
    return tuple(weights[name].shape) if name in weights else None


def _count(weights: Weights, pattern: str) -> int:
    return next(i for i in range(1000) if pattern.format(i) not in weights)


def patch_text_encoders(module: Any) -> None:
    detect, initialise = module.detect_te_model, module.CLIP.__init__

    @functools.wraps(detect)
    def detect_te_model(weights: Weights) -> Any:
        if qwen_sizes(weights):
            return module.TEModel.QWEN3_4B
        return module.TEModel.T5_XXL if t5_sizes(weights) else detect(weights)

    @functools.wraps(initialise)
    def sized(self: Any, *args: Any, state_dict: Any = (), **options: Any) -> None:
        # A list of files, or the text encoders of one checkpoint under their names.
        parts = [state_dict] if isinstance(state_dict, Mapping) else list(state_dict)
        chosen = dict(options.pop("model_options", {}))
        for part in parts:
            for name, sizes in (
                ("clip_l", clip_sizes(part) or clip_sizes(part, "clip_l.transformer.")),
                ("clip_g", clip_sizes(part, "clip_g.transformer.")),
                ("t5xxl", t5_sizes(part) or t5_sizes(part, "t5xxl.transformer.")),
                ("qwen3_4b", qwen_sizes(part)),
            ):
                if sizes:
                    chosen[f"{name}_model_config"] = sizes
        initialise(self, *args, state_dict=state_dict, model_options=chosen, **options)

    module.detect_te_model = detect_te_model
    module.CLIP.__init__ = sized


def patch_diffusion_models(module: Any, supported: Any) -> None:
    detect = module.detect_unet_config

    @functools.wraps(detect)
    def detect_unet_config(*args: Any, **options: Any) -> Any:
        config = detect(*args, **options) or {}
        if config.get("image_model") == "flux" and config["hidden_size"] < 3072:
            config["num_heads"] = config["hidden_size"] // sum(config["axes_dim"])
        if config.get("image_model") == "lumina2" and config["dim"] < 2304:
            heads = config["dim"] // sum(Z_IMAGE["axes_dims"])
            config |= Z_IMAGE | {"n_heads": heads, "n_kv_heads": heads}
        return config or None

    module.detect_unet_config = detect_unet_config
    # What is left still tells them from every other model.
    supported.ZImage.unet_config = {"image_model": "lumina2", "z_image_modulation": True}
    for width in ("model_channels", "context_dim", "adm_in_channels"):
        supported.SDXL.unet_config.pop(width, None)


def patch_vae(module: Any) -> None:
    initialise, engine = module.VAE.__init__, module.AutoencodingEngine

    @functools.wraps(initialise)
    def sized(self: Any, sd: Any = None, *args: Any, **options: Any) -> None:
        shape = _shape(sd or {}, "decoder.conv_out.weight")

        def narrow(**configs: Any) -> Any:
            if shape is not None and len(shape) == 4 and shape[1] < 128:
                for half in ("encoder_config", "decoder_config"):
                    configs[half]["params"]["ch"] = shape[1]
            return engine(**configs)

        with mock.patch.object(module, "AutoencodingEngine", narrow):
            initialise(self, sd, *args, **options)

    module.VAE.__init__ = sized


def patch() -> None:
    loaders = import_module("comfy.sd")
    patch_text_encoders(loaders)
    patch_vae(loaders)
    patch_diffusion_models(
        import_module("comfy.model_detection"), import_module("comfy.supported_models")
    )


patch()
