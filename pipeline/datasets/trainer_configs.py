"""How a LoRA is trained on a dataset: the trainers' configurations, and the commands. Pure.

Written to what the trainers document: kohya's sd-scripts in config_README-en.md and its guides to
SDXL and FLUX.1, ai-toolkit in config/examples and in the defaults of its page for new jobs. Texts
are quoted as JSON strings, which are strings of TOML and YAML alike.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from handlers.character_sheet.person import BaseName
from pipeline.datasets.captions import Subject
from pipeline.datasets.layout import PICTURES, SIDE_STEP, repeats

KOHYA, AI_TOOLKIT = "kohya.toml", "ai-toolkit.yaml"
RESOLUTION = 1024
"""Side of the square whose area kohya scales larger pictures down to."""
LONGEST_SIDE = 1536
"""Pixels; kohya's own bound is 1024, which would shrink 832x1216."""
RESOLUTIONS = (768, 1024)
"""Sides of ai-toolkit's squares, likewise; it never enlarges."""
STEPS_A_PICTURE, LEAST_STEPS, MOST_STEPS = 100, 1000, 3000
EPOCHS = 10


@dataclass(frozen=True)
class Target:
    """A base model that a LoRA is trained for."""

    arch: str
    """As ai-toolkit names it."""
    model: str
    """Repository that ai-toolkit loads it from."""
    scheduler: str
    quantize: bool
    guidance: float
    sample_steps: int
    more: str = ""
    """Further lines of ai-toolkit's `model`."""
    kohya: str | None = None
    """What kohya's command has beside the dataset; None where sd-scripts has no script for it."""


_COMMON = (
    "--save_model_as safetensors --network_dim 16 --network_alpha 16 --learning_rate 1e-4"
    " --optimizer_type AdamW8bit --lr_scheduler constant --mixed_precision bf16"
    " --gradient_checkpointing --cache_latents --cache_text_encoder_outputs --sdpa"
)
TARGETS: Mapping[BaseName, Target] = MappingProxyType(
    {
        "sdxl": Target(
            arch="sdxl",
            model="stabilityai/stable-diffusion-xl-base-1.0",
            scheduler="ddpm",
            quantize=False,
            guidance=6,
            sample_steps=25,
            kohya='"$SD_SCRIPTS/sdxl_train_network.py"'
            ' --pretrained_model_name_or_path "$MODELS/sd_xl_base_1.0.safetensors"'
            f" --network_module networks.lora --network_train_unet_only {_COMMON}",
        ),
        "flux-dev": Target(
            arch="flux",
            model="black-forest-labs/FLUX.1-dev",
            scheduler="flowmatch",
            quantize=True,
            guidance=4,
            sample_steps=20,
            kohya='"$SD_SCRIPTS/flux_train_network.py"'
            ' --pretrained_model_name_or_path "$MODELS/flux1-dev.safetensors"'
            ' --clip_l "$MODELS/clip_l.safetensors" --t5xxl "$MODELS/t5xxl_fp16.safetensors"'
            ' --ae "$MODELS/ae.safetensors"'
            " --network_module networks.lora_flux --network_train_unet_only --guidance_scale 1.0"
            f" --timestep_sampling flux_shift --model_prediction_type raw {_COMMON}",
        ),
        "z-image-turbo": Target(
            arch="zimage",
            model="Tongyi-MAI/Z-Image-Turbo",
            scheduler="flowmatch",
            quantize=True,
            guidance=1,
            sample_steps=8,
            more="        assistant_lora_path: ostris/zimage_turbo_training_adapter/"
            "zimage_turbo_training_adapter_v2.safetensors\n",
        ),
    }
)


@dataclass(frozen=True)
class Training:
    """What is to be trained."""

    name: str
    """Of the LoRA's file: the job's id."""
    subject: Subject
    base: BaseName
    pictures: int
    folder: str
    """That the pictures lie in."""


def kohya_toml(training: Training) -> str:
    """For `--dataset_config`, which passes over the repeats in the folder's name."""
    return f"""\
# For kohya's sd-scripts, run in this folder: README.txt has the command.

[general]
enable_bucket = true
bucket_reso_steps = {SIDE_STEP}
min_bucket_reso = 256
max_bucket_reso = {LONGEST_SIDE}
bucket_no_upscale = true
caption_extension = ".txt"
shuffle_caption = false
keep_tokens = 1  # "{training.subject.lead}"

[[datasets]]
resolution = {RESOLUTION}
batch_size = 1

  [[datasets.subsets]]
  image_dir = {_quoted(training.folder)}
  class_tokens = {_quoted(training.subject.lead)}
  num_repeats = {repeats(training.pictures)}
"""


def ai_toolkit_yaml(training: Training) -> str:
    """A whole job. Left for whoever trains: rank, rate and steps."""
    target = TARGETS[training.base]
    return f"""\
# For ai-toolkit, run in this folder: README.txt has the command.
job: extension
config:
  name: {_quoted(training.name)}
  process:
    - type: sd_trainer
      training_folder: output
      device: cuda:0
      trigger_word: {_quoted(training.subject.trigger)}
      network:
        type: lora
        linear: 16
        linear_alpha: 16
      save:
        dtype: float16
        save_every: 250
        max_step_saves_to_keep: 4
      datasets:
        - folder_path: {PICTURES}
          caption_ext: txt
          caption_dropout_rate: 0.05
          shuffle_tokens: false
          cache_latents_to_disk: true
          resolution: [{", ".join(map(str, RESOLUTIONS))}]
      train:
        batch_size: 1
        steps: {steps(training.pictures)}
        gradient_accumulation_steps: 1
        train_unet: true
        train_text_encoder: false
        gradient_checkpointing: true
        noise_scheduler: {target.scheduler}
        optimizer: adamw8bit
        lr: 0.0001
        dtype: bf16
      model:
        name_or_path: {_quoted(target.model)}
        arch: {target.arch}
        quantize: {_yaml(target.quantize)}
        quantize_te: {_yaml(target.quantize)}
{target.more}\
{_samples(target, training.subject.lead)}\
meta:
  name: "[name]"
  version: "1.0"
"""


def _samples(target: Target, lead: str) -> str:
    """Pictures that ai-toolkit makes on its way, to see how far it is."""
    return f"""\
      sample:
        sampler: {target.scheduler}
        sample_every: 250
        width: 1024
        height: 1024
        prompts:
          - {_quoted(f"{lead}, close-up portrait photograph, facing the camera")}
          - {_quoted(f"{lead}, full-length photograph, walking along a beach")}
        neg: ""
        seed: 42
        walk_seed: true
        guidance_scale: {target.guidance:g}
        sample_steps: {target.sample_steps}
"""


def steps(pictures: int) -> int:
    """Of ai-toolkit's training."""
    return min(MOST_STEPS, max(LEAST_STEPS, STEPS_A_PICTURE * pictures))


def ai_toolkit_command() -> str:
    """For a shell, with AI_TOOLKIT as the folder of ai-toolkit."""
    return f'python "$AI_TOOLKIT/run.py" {AI_TOOLKIT}'


def kohya_command(training: Training) -> str | None:
    """For a shell, with SD_SCRIPTS and MODELS as folders; None where sd-scripts has no script."""
    script = TARGETS[training.base].kohya
    return script and (
        f"accelerate launch --num_cpu_threads_per_process 1 {script}"
        f" --dataset_config {KOHYA} --output_dir output --output_name {training.name}"
        f" --max_train_epochs {EPOCHS} --save_every_n_epochs 2"
    )


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _yaml(value: bool) -> str:
    return "true" if value else "false"
