"""Text encoders with one head and two or three layers. Vocabularies are real: so are tokenizers."""

from tests.comfyui.micro.shapes import Shapes, linear, norm

WIDTH = 64
CLIP_VOCABULARY = 49_408
T5_VOCABULARY = 32_128
QWEN_VOCABULARY = 151_936
QWEN_HEAD = 128


def clip_l(layers: int = 2) -> Shapes:
    """Models that read the last layer but one, such as SDXL, want three of them."""
    shapes: Shapes = {
        "text_model.embeddings.token_embedding.weight": (CLIP_VOCABULARY, WIDTH),
        "text_model.embeddings.position_embedding.weight": (77, WIDTH),
        "text_projection.weight": (WIDTH, WIDTH),
    }
    for layer in (f"text_model.encoder.layers.{i}." for i in range(layers)):
        for projection in ("q_proj", "k_proj", "v_proj", "out_proj"):
            shapes |= linear(f"{layer}self_attn.{projection}", WIDTH, WIDTH)
        shapes |= linear(f"{layer}mlp.fc1", WIDTH, 2 * WIDTH)
        shapes |= linear(f"{layer}mlp.fc2", 2 * WIDTH, WIDTH)
        shapes |= norm(f"{layer}layer_norm1", WIDTH) | norm(f"{layer}layer_norm2", WIDTH)
    return shapes | norm("text_model.final_layer_norm", WIDTH)


def clip_g() -> Shapes:
    """By OpenCLIP's names, as SDXL checkpoints have it."""
    shapes: Shapes = {
        "token_embedding.weight": (CLIP_VOCABULARY, WIDTH),
        "positional_embedding": (77, WIDTH),
        "text_projection": (WIDTH, WIDTH),
    }
    for block in (f"transformer.resblocks.{i}." for i in range(3)):
        shapes |= {
            f"{block}attn.in_proj_weight": (3 * WIDTH, WIDTH),
            f"{block}attn.in_proj_bias": (3 * WIDTH,),
        }
        shapes |= linear(f"{block}attn.out_proj", WIDTH, WIDTH)
        shapes |= linear(f"{block}mlp.c_fc", WIDTH, 2 * WIDTH)
        shapes |= linear(f"{block}mlp.c_proj", 2 * WIDTH, WIDTH)
        shapes |= norm(f"{block}ln_1", WIDTH) | norm(f"{block}ln_2", WIDTH)
    return shapes | norm("ln_final", WIDTH)


def t5() -> Shapes:
    """Two blocks; no biases in it."""
    first = "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight"
    shapes: Shapes = {
        "shared.weight": (T5_VOCABULARY, WIDTH),
        "encoder.final_layer_norm.weight": (WIDTH,),
        first: (32, 1),
    }
    for block in (f"encoder.block.{i}." for i in range(2)):
        shapes |= {f"{block}layer.0.SelfAttention.{each}.weight": (WIDTH, WIDTH) for each in "qkvo"}
        shapes |= {
            f"{block}layer.1.DenseReluDense.wi_0.weight": (2 * WIDTH, WIDTH),
            f"{block}layer.1.DenseReluDense.wi_1.weight": (2 * WIDTH, WIDTH),
            f"{block}layer.1.DenseReluDense.wo.weight": (WIDTH, 2 * WIDTH),
            f"{block}layer.0.layer_norm.weight": (WIDTH,),
            f"{block}layer.1.layer_norm.weight": (WIDTH,),
        }
    return shapes


def qwen() -> Shapes:
    """Three layers, of which the last but one is read; no biases in it."""
    shapes: Shapes = {
        "model.embed_tokens.weight": (QWEN_VOCABULARY, WIDTH),
        "model.norm.weight": (WIDTH,),
    }
    for layer in (f"model.layers.{i}." for i in range(3)):
        shapes |= {f"{layer}self_attn.{each}_proj.weight": (QWEN_HEAD, WIDTH) for each in "qkv"}
        shapes |= {
            f"{layer}self_attn.o_proj.weight": (WIDTH, QWEN_HEAD),
            f"{layer}self_attn.q_norm.weight": (QWEN_HEAD,),
            f"{layer}self_attn.k_norm.weight": (QWEN_HEAD,),
            f"{layer}mlp.gate_proj.weight": (2 * WIDTH, WIDTH),
            f"{layer}mlp.up_proj.weight": (2 * WIDTH, WIDTH),
            f"{layer}mlp.down_proj.weight": (WIDTH, 2 * WIDTH),
            f"{layer}input_layernorm.weight": (WIDTH,),
            f"{layer}post_attention_layernorm.weight": (WIDTH,),
        }
    return shapes
