from pathlib import Path
from time import process_time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from config.errors import LoraMismatch, LoraUnreadable
from handlers.loras.bases import Base, FluxSizes, ZImageSizes, flux, sdxl, z_image
from handlers.loras.fit import check
from handlers.loras.header import BytesRanges, FileRanges
from tests.handlers.loras.examples import FLUX, OTHERS, SDXL, Z_IMAGE, Example
from tests.support.safetensors_files import (
    KOHYA,
    PEFT,
    X_FLUX,
    Spec,
    Specs,
    flux_diffusers,
    flux_native,
    flux_processors,
    lora,
    prefixed,
    safetensors,
    underscored,
    write_sparse,
    z_image_native,
)

BASES = {"Flux": flux(), "SDXL": sdxl(), "Z-Image": z_image()}
RIGHT = {"Flux": FLUX, "SDXL": SDXL, "Z-Image": Z_IMAGE}


def refusal(folder: Path, specs: Specs, base: Base) -> str:
    with pytest.raises(LoraMismatch) as caught:
        check(FileRanges(write_sparse(folder / "any.safetensors", specs)), base)
    assert caught.value.code == "lora_mismatch"
    assert not caught.value.retryable
    return caught.value.message


@pytest.mark.parametrize(
    ("base", "example"),
    [(base, example) for base, examples in RIGHT.items() for example in examples.values()],
    ids=[f"{base}: {name}" for base, examples in RIGHT.items() for name in examples],
)
def test_each_right_one_passes_with_family_and_rank(
    tmp_path: Path, base: str, example: Example
) -> None:
    path = write_sparse(tmp_path / "right.safetensors", example.specs)
    found = check(FileRanges(path), BASES[base])
    assert (found.family, found.ranks) == (example.family, example.ranks)


@pytest.mark.parametrize(
    ("base", "example"),
    [
        (base, example)
        for base in BASES
        for family, examples in {**RIGHT, "other": OTHERS}.items()
        for example in examples.values()
        if family != base
    ],
)
def test_one_for_another_model_is_refused(tmp_path: Path, base: str, example: Example) -> None:
    message = refusal(tmp_path, example.specs, BASES[base])
    assert "the LoRA is one for" in message or "no such layer" in message or "shape" in message


def test_sdxl_on_flux_is_refused_with_both_names(tmp_path: Path) -> None:
    message = refusal(tmp_path, SDXL["kohya"].specs, flux())
    assert "one for sdxl, the model is flux" in message
    assert "input_blocks_4_1" in message


def test_another_hidden_size_is_refused_with_key_shape_found_and_wanted(tmp_path: Path) -> None:
    message = refusal(
        tmp_path, lora(prefixed("diffusion_model.", flux_native(2048)), PEFT, 16), flux()
    )
    assert message == (
        "'diffusion_model.double_blocks.0.img_attn.qkv.lora_A.weight' has shape [16, 2048],"
        " wanted [16, 3072] (and 227 more)"
    )


def with_pair(down: Spec, up: Spec) -> dict[str, Spec]:
    """A right LoRA with one pair replaced."""
    stem = "lora_unet_double_blocks_0_img_attn_qkv"
    return {
        **FLUX["kohya"].specs,
        f"{stem}.lora_down.weight": down,
        f"{stem}.lora_up.weight": up,
    }


@pytest.mark.parametrize(
    ("down", "up", "reason"),
    [
        (Spec((16, 3072)), Spec((9216, 8)), r"up.weight' has shape \[9216, 8\], wanted .*, 16\]"),
        (Spec((16, 3072)), Spec((3072, 16)), r"has shape \[3072, 16\], wanted \[9216, 16\]"),
        (Spec((16, 9216)), Spec((3072, 16)), r"has shape \[16, 9216\], wanted \[16, 3072\]"),
        (Spec((3072, 16)), Spec((16, 9216)), r"has shape \[3072, 16\], wanted \[3072, 3072\]"),
        (Spec((0, 3072)), Spec((9216, 0)), "no matrices"),
        (Spec((3072,)), Spec((9216,)), "no matrices"),
        (Spec(()), Spec(()), "no matrices"),
        (Spec((16, 3072), "U8"), Spec((9216, 16)), "dtype U8"),
        (Spec((16, 3072)), Spec((9216, 16), "I64"), "dtype I64"),
    ],
)
def test_a_pair_that_does_not_fit_is_refused(
    tmp_path: Path, down: Spec, up: Spec, reason: str
) -> None:
    path = write_sparse(tmp_path / "any.safetensors", with_pair(down, up))
    with pytest.raises(LoraMismatch, match=reason):
        check(FileRanges(path), flux())


def test_an_alpha_that_is_no_number_is_refused(tmp_path: Path) -> None:
    specs = {
        **FLUX["kohya"].specs,
        "lora_unet_single_blocks_0_linear1.alpha": Spec((2,)),
    }
    assert "is not one number" in refusal(tmp_path, specs, flux())


def beside(**more: Spec) -> dict[str, Spec]:
    """A right LoRA with more tensors for one of its layers."""
    stem = "lora_unet_double_blocks_0_img_attn_qkv"
    specs = {f"{stem}.{name}": each for name, each in more.items()}
    return {**FLUX["kohya"].specs, **specs}


@pytest.mark.parametrize(
    ("name", "shape", "said", "hint"),
    [
        ("lora_magnitude_vector", (9216,), "leaves out", "dora_scale"),
        ("oft_blocks", (4, 4, 4), "leaves out", "GLoRA or an OFT"),
        ("a1.weight", (4, 4), "leaves out", "GLoRA or an OFT"),
        ("lora_B.bias", (9216,), "leaves out", "lora_bias"),
        ("on_input", (1,), "leaves out", "IA3"),
        ("lokr_w1", (4, 4), "leaves out", "Retrain or convert"),
        ("whatever", (4, 4), "leaves out", "Retrain or convert"),
        ("dora_scale", (9216,), r"wanted \[9216, 1\]", "ComfyUI would run without"),
        ("diff_b", (3072,), r"wanted \[9216\]", "ComfyUI would run without"),
    ],
)
def test_every_tensor_is_judged(
    tmp_path: Path, name: str, shape: tuple[int, ...], said: str, hint: str
) -> None:
    path = write_sparse(tmp_path / "any.safetensors", beside(**{name: Spec(shape)}))
    with pytest.raises(LoraMismatch, match=said) as caught:
        check(FileRanges(path), flux())

    assert name in caught.value.message
    assert hint in str(caught.value.hint)


def test_what_is_left_out_is_counted(tmp_path: Path) -> None:
    extra = {f"x.{n}.lora_magnitude_vector": Spec((4,)) for n in range(11)}
    specs = {**lora(prefixed("transformer.", flux_diffusers(3072, [0], [0])), PEFT, 1), **extra}
    message = refusal(tmp_path, specs, flux())

    assert "'x.0.lora_magnitude_vector' and 10 more, of 33 tensors" in message


@pytest.mark.parametrize(
    "more",
    [
        {"dora_scale": Spec((9216, 1), "F32")},
        {"dora_scale": Spec((1, 3072))},
        {"diff_b": Spec((9216,))},
        {"alpha": Spec((1,), "F32", 1.0)},
    ],
)
def test_what_comfyui_reads_beside_a_pair_fits(tmp_path: Path, more: dict[str, Spec]) -> None:
    check(FileRanges(write_sparse(tmp_path / "any.safetensors", beside(**more))), flux())


def test_a_bias_is_added_to_whole_layers_alone(tmp_path: Path) -> None:
    stem = "transformer.transformer_blocks.0.attn.to_q"
    specs = {**lora({stem: (3072, 3072)}, PEFT, 4), f"{stem}.diff_b": Spec((3072,))}
    assert "no bias of this layer" in refusal(tmp_path, specs, flux())


STEM = "lora_unet_double_blocks_3_txt_mlp_0"


@pytest.mark.parametrize(
    ("base", "specs", "kinds"),
    [
        (flux(), {f"{STEM}.lokr_w1": Spec((16, 16)), f"{STEM}.lokr_w2_a": Spec((768, 4)),
                  f"{STEM}.lokr_w2_b": Spec((4, 192)), f"{STEM}.alpha": Spec(())}, ("lokr",)),
        (flux(), {f"{STEM}.hada_w1_a": Spec((12_288, 4)), f"{STEM}.hada_w1_b": Spec((4, 3072)),
                  f"{STEM}.hada_w2_a": Spec((12_288, 4)), f"{STEM}.hada_w2_b": Spec((4, 3072)),
                  f"{STEM}.dora_scale": Spec((12_288, 1))}, ("dora", "loha")),
        (z_image(), {"lycoris_layers_0_attention_to_q.lokr_w1": Spec((4, 4)),
                     "lycoris_layers_0_attention_to_q.lokr_w2": Spec((960, 960))}, ("lokr",)),
        (sdxl(), {"lora_unet_input_blocks_4_0_in_layers_2.lokr_w1": Spec((8, 8)),
                  "lora_unet_input_blocks_4_0_in_layers_2.lokr_w2": Spec((80, 40, 3, 3))},
         ("lokr",)),
    ],
)  # fmt: skip
def test_other_adapters_that_comfyui_reads_fit(
    tmp_path: Path, base: Base, specs: Specs, kinds: tuple[str, ...]
) -> None:
    found = check(FileRanges(write_sparse(tmp_path / "any.safetensors", specs)), base)

    assert found.kinds == kinds


def test_an_ia3_alone_is_told_as_one(tmp_path: Path) -> None:
    path = write_sparse(
        tmp_path / "ia3.safetensors",
        {f"{STEM}.weight": Spec((3072,)), f"{STEM}.on_input": Spec(())},
    )
    with pytest.raises(LoraMismatch, match="holds no LoRA") as caught:
        check(FileRanges(path), flux())

    assert "IA3" in str(caught.value.hint)


def test_a_layer_beyond_the_model_is_refused(tmp_path: Path) -> None:
    specs = lora(prefixed("diffusion_model.", z_image_native()), PEFT, 4)
    small = z_image(ZImageSizes(layers=29))
    assert "layers.29" in (message := refusal(tmp_path, specs, small))
    assert "no such layer" in message


def test_schnell_has_no_guidance_to_change(tmp_path: Path) -> None:
    specs = lora({"transformer.time_text_embed.guidance_embedder.linear_2": (3072, 3072)}, PEFT, 4)
    check(FileRanges(write_sparse(tmp_path / "dev.safetensors", specs)), flux())
    assert "no such layer" in refusal(tmp_path, specs, flux(FluxSizes(guidance=False)))


def test_names_that_comfyui_skips_are_refused(tmp_path: Path) -> None:
    """Right layers and shapes under a prefix that belongs to other names."""
    for specs in (
        lora(prefixed("transformer.", flux_native()), PEFT, 4),
        lora(prefixed("diffusion_model.", flux_diffusers()), PEFT, 4),
        lora(flux_native(), PEFT, 4),
        lora(underscored("lora_unet_", flux_diffusers()), KOHYA, 4),
    ):
        assert "no such layer" in refusal(tmp_path, specs, flux())


def test_x_flux_without_the_last_blocks_is_refused_as_comfyui_would_skip_it(
    tmp_path: Path,
) -> None:
    specs = lora(flux_processors(singles=[]), X_FLUX, 16)
    assert "single_blocks.37" in refusal(tmp_path, specs, flux())


def test_fused_and_split_attention_have_shapes_of_their_own(tmp_path: Path) -> None:
    split = lora({"transformer.transformer_blocks.0.attn.to_q": (9216, 3072)}, PEFT, 4)
    assert "wanted [3072, 4]" in refusal(tmp_path, split, flux())
    fused = lora({"diffusion_model.single_blocks.0.linear1_qkv": (9216, 3072)}, PEFT, 4)
    check(FileRanges(write_sparse(tmp_path / "fused.safetensors", fused)), flux())


def test_a_wrong_convolution_is_refused(tmp_path: Path) -> None:
    stem = "lora_unet_input_blocks_4_0_in_layers_2"
    specs = {
        f"{stem}.lora_down.weight": Spec((4, 640, 3, 3)),
        f"{stem}.lora_up.weight": Spec((640, 4, 1, 1)),
    }
    assert "[4, 640, 3, 3]" in refusal(tmp_path, specs, sdxl())


def test_a_model_of_other_sizes_is_checked_by_its_own() -> None:
    tiny = flux(FluxSizes(doubles=1, singles=1, hidden=128, context=64, pooled=64))
    file = BytesRanges(
        safetensors(lora(prefixed("diffusion_model.", flux_native(128, [0], [0])), PEFT, 4))
    )
    assert check(file, tiny).ranks == (4,)
    with pytest.raises(LoraMismatch, match="128"):
        check(file, flux())
    small = z_image(ZImageSizes(layers=1, dim=256, feed_forward=768, caption=64))
    specs = lora({"diffusion_model.layers.0.feed_forward.w2": (256, 768)}, PEFT, 4)
    assert check(BytesRanges(safetensors(specs)), small).ranks == (4,)


def test_a_file_of_200_mb_takes_less_than_half_a_second(tmp_path: Path) -> None:
    specs = lora(underscored("lora_unet_", flux_native()), KOHYA, 29, alpha=16.0)
    file = FileRanges(write_sparse(tmp_path / "large.safetensors", specs))
    assert file.size > 200e6
    flux.cache_clear()
    begun = process_time()
    check(file, flux())
    assert process_time() - begun < 0.5


MICRO = flux(FluxSizes(doubles=1, singles=1, hidden=128, context=64, pooled=64))
GOOD = safetensors(
    lora(underscored("lora_unet_", flux_native(128, [0], [])), KOHYA, 2, alpha=2.0), {"a": "b"}
)


@settings(max_examples=400, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(st.integers(0, 2000), st.integers(32, 126)), max_size=3))
def test_a_damaged_file_fits_or_is_refused(changes: list[tuple[int, int]]) -> None:
    body = bytearray(GOOD)
    for position, value in changes:
        body[position] = value
    try:
        found = check(BytesRanges(bytes(body)), MICRO)
    except (LoraUnreadable, LoraMismatch) as error:
        message = error.message
    else:
        message = ""
        assert all(
            each.parts["down"].shape[0] == each.parts["up"].shape[1] for each in found.adapters
        )
    assert len(message) < 600


STEMS = st.sampled_from(
    [
        "diffusion_model.double_blocks.0.img_attn.qkv",
        "double_blocks.0.processor.qkv_lora1",
        "lora_te1_x",
        "unet.x.attn2.to_k",
        "",
        ".processor.",
    ]
)
ENDS = st.sampled_from([*KOHYA, *PEFT, *X_FLUX, ".lora_A", ".alpha", ".lora_mid.weight", ".diff"])
SHAPES = st.sampled_from([(), (4,), (4, 128), (384, 4), (4, 4, 3, 3), (0, 4)])


@settings(max_examples=400)
@given(st.dictionaries(st.tuples(STEMS, ENDS), SHAPES, max_size=6))
def test_any_names_and_shapes_fit_or_are_refused(
    table: dict[tuple[str, str], tuple[int, ...]],
) -> None:
    specs = {"".join(name): Spec(shape) for name, shape in table.items()}
    try:
        found = check(BytesRanges(safetensors(specs)), MICRO)
    except LoraMismatch:
        return
    parts = [each.parts for each in found.adapters]
    assert all((each["down"].shape, each["up"].shape) == ((4, 128), (384, 4)) for each in parts)
