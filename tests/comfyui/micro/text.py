"""Text encoders at any size, by default of one head and two or three layers. Vocabularies are real:
so are tokenizers."""

from dataclasses import dataclass

from tests.comfyui.micro.shapes import Shapes, linear, norm

WIDTH = 64
CLIP_VOCABULARY = 49_408
T5_VOCABULARY = 32_128
QWEN_VOCABULARY = 151_936
QWEN_HEAD = 128


def clip_l(layers: int = 2, width: int = WIDTH, *, inner: int = 2) -> Shapes:
    """Models that read the last layer but one, such as SDXL, want three of them. `inner` is the
    width inside a layer in widths outside."""
    shapes: Shapes = {
        "text_model.embeddings.token_embedding.weight": (CLIP_VOCABULARY, width),
        "text_model.embeddings.position_embedding.weight": (77, width),
        "text_projection.weight": (width, width),
    }
    for layer in (f"text_model.encoder.layers.{i}." for i in range(layers)):
        for projection in ("q_proj", "k_proj", "v_proj", "out_proj"):
            shapes |= linear(f"{layer}self_attn.{projection}", width, width)
        shapes |= linear(f"{layer}mlp.fc1", width, inner * width)
        shapes |= linear(f"{layer}mlp.fc2", inner * width, width)
        shapes |= norm(f"{layer}layer_norm1", width) | norm(f"{layer}layer_norm2", width)
    return shapes | norm("text_model.final_layer_norm", width)


def clip_g(layers: int = 3, width: int = WIDTH, *, inner: int = 2) -> Shapes:
    """By OpenCLIP's names, as SDXL checkpoints have it."""
    shapes: Shapes = {
        "token_embedding.weight": (CLIP_VOCABULARY, width),
        "positional_embedding": (77, width),
        "text_projection": (width, width),
    }
    for block in (f"transformer.resblocks.{i}." for i in range(layers)):
        shapes |= {
            f"{block}attn.in_proj_weight": (3 * width, width),
            f"{block}attn.in_proj_bias": (3 * width,),
        }
        shapes |= linear(f"{block}attn.out_proj", width, width)
        shapes |= linear(f"{block}mlp.c_fc", width, inner * width)
        shapes |= linear(f"{block}mlp.c_proj", inner * width, width)
        shapes |= norm(f"{block}ln_1", width) | norm(f"{block}ln_2", width)
    return shapes | norm("ln_final", width)


def t5(layers: int = 2, width: int = WIDTH, heads: int = 1, inner: int = 2 * WIDTH) -> Shapes:
    """No biases in it. `inner` is the width inside a layer."""
    first = "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight"
    shapes: Shapes = {
        "shared.weight": (T5_VOCABULARY, width),
        "encoder.final_layer_norm.weight": (width,),
        first: (32, heads),
    }
    for block in (f"encoder.block.{i}." for i in range(layers)):
        shapes |= {f"{block}layer.0.SelfAttention.{each}.weight": (width, width) for each in "qkvo"}
        shapes |= {
            f"{block}layer.1.DenseReluDense.wi_0.weight": (inner, width),
            f"{block}layer.1.DenseReluDense.wi_1.weight": (inner, width),
            f"{block}layer.1.DenseReluDense.wo.weight": (width, inner),
            f"{block}layer.0.layer_norm.weight": (width,),
            f"{block}layer.1.layer_norm.weight": (width,),
        }
    return shapes


@dataclass(frozen=True)
class QwenSizes:
    width: int = WIDTH
    inner: int = 2 * WIDTH
    layers: int = 3
    heads: int = 1
    pairs: int = 1
    """Heads of keys and values."""


QWEN_3_4B = QwenSizes(width=2560, inner=9728, layers=36, heads=32, pairs=8)


def qwen(sizes: QwenSizes = QwenSizes()) -> Shapes:
    """Of its layers the last but one is read; no biases in it."""
    shapes: Shapes = {
        "model.embed_tokens.weight": (QWEN_VOCABULARY, sizes.width),
        "model.norm.weight": (sizes.width,),
    }
    for layer in (f"model.layers.{i}." for i in range(sizes.layers)):
        for each, heads in (("q", sizes.heads), ("k", sizes.pairs), ("v", sizes.pairs)):
            shapes[f"{layer}self_attn.{each}_proj.weight"] = (heads * QWEN_HEAD, sizes.width)
        shapes |= {
            f"{layer}self_attn.o_proj.weight": (sizes.width, sizes.heads * QWEN_HEAD),
            f"{layer}self_attn.q_norm.weight": (QWEN_HEAD,),
            f"{layer}self_attn.k_norm.weight": (QWEN_HEAD,),
            f"{layer}mlp.gate_proj.weight": (sizes.inner, sizes.width),
            f"{layer}mlp.up_proj.weight": (sizes.inner, sizes.width),
            f"{layer}mlp.down_proj.weight": (sizes.width, sizes.inner),
            f"{layer}input_layernorm.weight": (sizes.width,),
            f"{layer}post_attention_layernorm.weight": (sizes.width,),
        }
    return shapes
