"""What to do about tensors that ComfyUI leaves out: each ending is some trainer's habit."""

import re
from collections.abc import Sequence

_HINTS = (
    (
        r"lora_magnitude_vector",
        "It is a DoRA as PEFT saves it. ComfyUI reads the lengths as <layer>.dora_scale, of the"
        " shape [outputs, 1]: convert the file.",
    ),
    (r"\.on_input$", "It is an IA3, which ComfyUI does not read: train a LoRA, LoKr or LoHa."),
    (
        r"\.(oft_blocks|rescale|[ab][12]\.weight)$",
        "It is a GLoRA or an OFT, which are not checked here: train a LoRA, LoKr or LoHa.",
    ),
    (r"lora_[AB](\.default)?\.bias$", "It was trained with biases: train it without lora_bias."),
    (r"(emb|string_to_param)", "It brings embeddings along: export it without them."),
    (r"\.(w_norm|b_norm|set_weight|reshape_weight)$", "Export it as a LoRA, LoKr or LoHa alone."),
    (r"^(model|transformer|unet)?\.?[\w.]*blocks?\.[\w.]*\.(weight|bias|scale)$",
     "It looks like a whole model, or a part of one: extract a LoRA from it."),
)  # fmt: skip
_USUAL = "ComfyUI would run without them. Retrain or convert the LoRA."


def left_out_hint(names: Sequence[str]) -> str | None:
    """By the first name that tells; None where nothing is left out."""
    for pattern, hint in _HINTS:
        if any(re.search(pattern, name) for name in names):
            return hint
    return _USUAL if names else None
