"""The trainers' configurations against what the trainers document."""

import shlex
import tomllib
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
import yaml  # type: ignore[import-untyped]

from handlers.character_sheet.person import BaseName
from pipeline.datasets.captions import Subject
from pipeline.datasets.trainer_configs import (
    TARGETS,
    Training,
    ai_toolkit_command,
    ai_toolkit_yaml,
    kohya_command,
    kohya_toml,
    steps,
)

HOSTILE = 'zo"ë\\ #: 🌹 - {x}'
BASES: list[BaseName] = ["sdxl", "flux-dev", "z-image-turbo"]


def training(base: BaseName = "sdxl", word: str = "ohwx") -> Training:
    return Training("ann-1", Subject(word, "woman"), base, 20, "img/10_ohwx woman")


BOOL, TEXT, COUNT = {"type": "boolean"}, {"type": "string"}, {"type": "integer", "minimum": 1}
RATE = {"type": "number", "minimum": 0, "maximum": 1}


def closed(required: list[str], **properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }


# kohya-ss/sd-scripts, config_README-en.md: the tables of options by place, of a dataset in
# DreamBooth's style. max_bucket_reso must be divisible by bucket_reso_steps.
SUBSET_ANYWHERE = {
    "color_aug": BOOL,
    "flip_aug": BOOL,
    "keep_tokens": {"type": "integer", "minimum": 0},
    "num_repeats": COUNT,
    "random_crop": BOOL,
    "shuffle_caption": BOOL,
    "caption_extension": TEXT,
}
DATASET_ANYWHERE = {
    "batch_size": COUNT,
    "bucket_no_upscale": BOOL,
    "bucket_reso_steps": COUNT,
    "enable_bucket": BOOL,
    "max_bucket_reso": {"type": "integer", "multipleOf": 64},
    "min_bucket_reso": {"type": "integer", "multipleOf": 64},
    "resolution": {"type": ["integer", "array"]},
}
SUBSET = closed(
    ["image_dir"],
    image_dir=TEXT,
    class_tokens=TEXT,
    is_reg=BOOL,
    cache_info=BOOL,
    **SUBSET_ANYWHERE,
)
DATASET = closed(
    ["subsets"], subsets={"type": "array", "items": SUBSET}, **DATASET_ANYWHERE, **SUBSET_ANYWHERE
)
KOHYA = closed(
    ["datasets"],
    general=closed([], **DATASET_ANYWHERE, **SUBSET_ANYWHERE),
    datasets={"type": "array", "minItems": 1, "items": DATASET},
)

# ostris/ai-toolkit, config/examples/train_lora_flux_24gb.yaml, and the defaults of its page for new
# jobs (ui/src/app/jobs/new): architectures with their repository, scheduler and sampler.
ARCHITECTURES = {
    "sdxl": ("stabilityai/stable-diffusion-xl-base-1.0", "ddpm"),
    "flux": ("black-forest-labs/FLUX.1-dev", "flowmatch"),
    "zimage": ("Tongyi-MAI/Z-Image-Turbo", "flowmatch"),
}
PROCESS = closed(
    ["type", "training_folder", "device", "network", "datasets", "train", "model"],
    type={"enum": ["sd_trainer", "diffusion_trainer"]},
    training_folder=TEXT,
    device=TEXT,
    trigger_word=TEXT,
    network=closed(["type"], type={"const": "lora"}, linear=COUNT, linear_alpha=COUNT),
    save=closed([], dtype=TEXT, save_every=COUNT, max_step_saves_to_keep=COUNT),
    datasets={
        "type": "array",
        "minItems": 1,
        "items": closed(
            ["folder_path", "resolution"],
            folder_path=TEXT,
            caption_ext=TEXT,
            caption_dropout_rate=RATE,
            shuffle_tokens=BOOL,
            cache_latents_to_disk=BOOL,
            resolution={"type": "array", "items": COUNT},
        ),
    },
    train=closed(
        ["steps", "lr", "noise_scheduler", "optimizer"],
        batch_size=COUNT,
        steps=COUNT,
        gradient_accumulation_steps=COUNT,
        train_unet=BOOL,
        train_text_encoder=BOOL,
        gradient_checkpointing=BOOL,
        noise_scheduler={"enum": ["ddpm", "flowmatch"]},
        optimizer=TEXT,
        lr={"type": "number"},
        dtype=TEXT,
    ),
    model=closed(
        ["name_or_path", "arch"],
        name_or_path=TEXT,
        arch={"enum": [*ARCHITECTURES]},
        quantize=BOOL,
        quantize_te=BOOL,
        assistant_lora_path=TEXT,
    ),
    sample=closed(
        ["sampler", "prompts"],
        sampler={"enum": ["ddpm", "flowmatch"]},
        sample_every=COUNT,
        width=COUNT,
        height=COUNT,
        prompts={"type": "array", "items": TEXT},
        neg=TEXT,
        seed=COUNT,
        walk_seed=BOOL,
        guidance_scale={"type": "number"},
        sample_steps=COUNT,
    ),
)
AI_TOOLKIT = closed(
    ["job", "config"],
    job={"const": "extension"},
    config=closed(
        ["name", "process"],
        name=TEXT,
        process={"type": "array", "minItems": 1, "maxItems": 1, "items": PROCESS},
    ),
    meta=closed([], name=TEXT, version=TEXT),
)


@pytest.mark.parametrize("word", ["ohwx", HOSTILE])
@pytest.mark.parametrize("base", BASES)
def test_kohyas_file_has_only_what_its_readme_lists(base: BaseName, word: str) -> None:
    document = tomllib.loads(kohya_toml(training(base, word)))
    jsonschema.validate(document, KOHYA)
    [dataset] = document["datasets"]
    [subset] = dataset["subsets"]
    assert subset == {
        "image_dir": "img/10_ohwx woman",
        "class_tokens": f"{word} woman",
        "num_repeats": 10,
    }


@pytest.mark.parametrize("word", ["ohwx", HOSTILE])
@pytest.mark.parametrize("base", BASES)
def test_ai_toolkits_file_is_a_job_as_its_examples_are(base: BaseName, word: str) -> None:
    document = yaml.safe_load(ai_toolkit_yaml(training(base, word)))
    jsonschema.validate(document, AI_TOOLKIT)
    [process] = document["config"]["process"]
    assert document["config"]["name"] == "ann-1"
    assert process["trigger_word"] == word
    assert process["datasets"][0]["folder_path"] == "img"
    assert process["datasets"][0]["resolution"] == [768, 1024]
    assert process["sample"]["prompts"][0].startswith(f"{word} woman, ")
    repository, scheduler = ARCHITECTURES[process["model"]["arch"]]
    assert process["model"]["name_or_path"] == repository
    assert process["train"]["noise_scheduler"] == process["sample"]["sampler"] == scheduler


def test_a_distilled_model_is_trained_with_its_adapter() -> None:
    document = yaml.safe_load(ai_toolkit_yaml(training("z-image-turbo")))
    assert "training_adapter" in document["config"]["process"][0]["model"]["assistant_lora_path"]


def test_views_of_every_framing_fit_kohyas_sizes_unscaled() -> None:
    general = tomllib.loads(kohya_toml(training()))["general"]
    for width, height in ((1024, 1024), (896, 1152), (832, 1216)):
        assert width * height <= 1024 * 1024
        assert max(width, height) <= general["max_bucket_reso"]
        assert not width % general["bucket_reso_steps"]
        assert not height % general["bucket_reso_steps"]


@pytest.mark.parametrize(("pictures", "count"), [(1, 1000), (10, 1000), (24, 2400), (40, 3000)])
def test_steps_grow_with_the_pictures(pictures: int, count: int) -> None:
    assert steps(pictures) == count


@pytest.mark.parametrize("base", ["sdxl", "flux-dev"])
def test_kohyas_command_is_one_line_that_names_the_script_of_the_base(base: BaseName) -> None:
    command = kohya_command(training(base))
    assert command is not None
    words = shlex.split(command)
    script = "sdxl_train_network.py" if base == "sdxl" else "flux_train_network.py"
    assert words[4] == f"$SD_SCRIPTS/{script}"
    assert words[words.index("--dataset_config") + 1] == "kohya.toml"
    assert words[words.index("--output_name") + 1] == "ann-1"


def test_there_is_no_command_where_kohya_has_no_script() -> None:
    assert kohya_command(training("z-image-turbo")) is None
    assert {base for base in BASES if kohya_command(training(base))} < {*TARGETS}


def test_ai_toolkits_command_names_the_file() -> None:
    assert shlex.split(ai_toolkit_command()) == [
        "python",
        str(Path("$AI_TOOLKIT", "run.py")),
        "ai-toolkit.yaml",
    ]
