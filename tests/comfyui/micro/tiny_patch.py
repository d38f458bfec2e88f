"""A custom node without nodes: lets ComfyUI load the files of make_models.py.

ComfyUI knows the sizes of Flux, its text encoders and its VAE by heart. Here they are read from
the file where it is smaller than any real one. Written for ComfyUI 0.8.
"""

import functools
from collections.abc import Mapping
from importlib import import_module
from typing import Any
from unittest import mock

Weights = Mapping[str, Any]  # name -> tensor

NODE_CLASS_MAPPINGS: dict[str, type] = {}
HEAD = 64  # width of a text encoder's head


def clip_l_sizes(weights: Weights, prefix: str = "") -> dict[str, int] | None:
    """None where the file holds no CLIP-L below the real one's 768."""
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


def _shape(weights: Weights, name: str) -> tuple[int, ...] | None:
    return tuple(weights[name].shape) if name in weights else None


def _count(weights: Weights, pattern: str) -> int:
    return next(i for i in range(1000) if pattern.format(i) not in weights)


def patch_text_encoders(module: Any) -> None:
    detect, initialise = module.detect_te_model, module.CLIP.__init__

    @functools.wraps(detect)
    def detect_te_model(weights: Weights) -> Any:
        return module.TEModel.T5_XXL if t5_sizes(weights) else detect(weights)

    @functools.wraps(initialise)
    def sized(self: Any, *args: Any, state_dict: Any = (), **options: Any) -> None:
        # A list of files, or the text encoders of one checkpoint under their names.
        parts = [state_dict] if isinstance(state_dict, Mapping) else list(state_dict)
        chosen = dict(options.pop("model_options", {}))
        for part in parts:
            for name, sizes in (
                ("clip_l", clip_l_sizes(part) or clip_l_sizes(part, "clip_l.transformer.")),
                ("t5xxl", t5_sizes(part) or t5_sizes(part, "t5xxl.transformer.")),
            ):
                if sizes:
                    chosen[f"{name}_model_config"] = sizes
        initialise(self, *args, state_dict=state_dict, model_options=chosen, **options)

    module.detect_te_model = detect_te_model
    module.CLIP.__init__ = sized


def patch_flux(module: Any) -> None:
    detect = module.detect_unet_config

    @functools.wraps(detect)
    def detect_unet_config(*args: Any, **options: Any) -> Any:
        config = detect(*args, **options)
        if config and config.get("image_model") == "flux" and config["hidden_size"] < 3072:
            config["num_heads"] = config["hidden_size"] // sum(config["axes_dim"])
        return config

    module.detect_unet_config = detect_unet_config


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
    patch_flux(import_module("comfy.model_detection"))


patch()
