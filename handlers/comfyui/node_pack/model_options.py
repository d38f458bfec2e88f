"""What a model is sampled with on this card: its attention, and sigmas where they are looked at."""

from importlib import import_module
from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention

from .step_graphs import diffusion, of_one_picture

KEY = "ryla"
KNOWN = frozenset(
    {"skip_reshape", "skip_output_reshape", "attn_precision", "transformer_options"}
    | {"_inside_attn_wrapper"}
)
"""Options of ComfyUI's attention that torch_attention knows. `attn_precision` asks for more
precision than the inputs have on old cards alone; the last one is ComfyUI's own note that it asked
for an override already, and stands in every call."""
SMALL = 1024 * 128
"""Elements of the queries below which ComfyUI's own choice is taken, as it takes torch's there."""


class RylaModelOptions:
    """A clone of the model with these options; the weights are shared."""

    CATEGORY = "ryla"
    RETURN_TYPES = ("MODEL",)
    FUNCTION = "apply"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802  ComfyUI's name
        return {
            "required": {
                "model": ("MODEL",),
                "attention": (["comfyui", "torch"],),
                "sigmas_on_processor": ("BOOLEAN", {"default": False}),
                "recorded": ("BOOLEAN", {"default": False}),
            }
        }

    def apply(
        self, model: Any, attention: str, sigmas_on_processor: bool, recorded: bool = False
    ) -> tuple[Any]:
        """`recorded`: steps are recorded on the card, of a UNet that stays where it lies and whose
        patches act alike in each step."""
        patched = model.clone()
        if attention == "torch" and hasattr(patched, "set_model_optimized_attention"):
            chosen = patched.model_options["transformer_options"]
            chosen["optimized_attention_override"] = torch_attention
        if sigmas_on_processor:
            kinds = import_module("comfy.patcher_extension").WrappersMP
            patched.add_wrapper_with_key(kinds.APPLY_MODEL, KEY, with_sigmas_on_processor)
        if recorded and torch.cuda.is_available():
            kinds = import_module("comfy.patcher_extension").WrappersMP
            patched.add_wrapper_with_key(kinds.OUTER_SAMPLE, KEY, of_one_picture)
            patched.add_wrapper_with_key(kinds.DIFFUSION_MODEL, KEY, diffusion)
        return (patched,)


def torch_attention(
    comfyui: Any, q: Any, k: Any, v: Any, heads: int, mask: Any = None, **options: Any
) -> Any:
    """ComfyUI's attention by torch's own choice of kernel, which on Hopper is cuDNN.

    Shapes are (batch, tokens, heads x size), or (batch, heads, tokens, size) with `skip_reshape`.
    Whatever else is asked for, masks among it, is left to `comfyui`, the function that it replaces
    in this model.
    """
    unknown = (value for name, value in options.items() if name not in KNOWN)
    if mask is not None or q.nelement() < SMALL or any(value is not None for value in unknown):
        return comfyui(q, k, v, heads, mask=mask, **options)
    if not options.get("skip_reshape", False):
        q, k, v = (each.unflatten(-1, (heads, -1)).transpose(1, 2) for each in (q, k, v))
    out = scaled_dot_product_attention(q, k, v)
    if options.get("skip_output_reshape", False):
        return out
    return out.transpose(1, 2).flatten(2)


def with_sigmas_on_processor(
    executor: Any,
    x: Any,
    t: Any,
    c_concat: Any,
    c_crossattn: Any,
    control: Any,
    transformer_options: dict[str, Any],
    **options: Any,
) -> Any:
    """A wrapper of APPLY_MODEL. InstantID asks each of its 70 attentions a step for the value of
    the first sigma, and each answer waits for the GPU; a copy on the processor answers at once."""
    sigmas = transformer_options.get("sigmas")
    if isinstance(sigmas, torch.Tensor):
        transformer_options = {**transformer_options, "sigmas": sigmas.detach().cpu()}
    return executor(x, t, c_concat, c_crossattn, control, transformer_options, **options)
