"""Every model of the kinds made tiny: random weights that ComfyUI loads as it does the real files.

    python -m tests.comfyui.micro.make_models FOLDER

FOLDER is ComfyUI's own or one given to it as --base-directory. tiny_patch.py and
control_image.py are put beside them, and a face pack for InstantID where the package `onnx` is
installed.
"""

import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

from tests.comfyui.micro import flux, instantid, sdxl, zimage
from tests.comfyui.micro.shapes import Shapes, under
from tests.comfyui.micro.text import clip_g, clip_l, qwen, t5
from tests.comfyui.micro.vae import vae
from tests.comfyui.micro.writer import write
from tests.support.micro_faces import make_detector, make_embedder

PATCH = Path(__file__).with_name("tiny_patch.py")
CONTROL_IMAGE = Path(__file__).with_name("control_image.py")
FACES = Path("models/insightface/models/antelopev2")


def make(folder: Path) -> list[Path]:
    """Write all weights and both nodes under `folder`; the same bytes every time."""
    nodes = folder / "custom_nodes"
    nodes.mkdir(parents=True, exist_ok=True)
    for node in (PATCH, CONTROL_IMAGE):
        shutil.copy(node, nodes)
    return [
        write(folder / "models" / name, shapes, hollow=instantid.hollow)
        for name, shapes in files().items()
    ]


def files() -> dict[str, Shapes]:
    """Path under models/ -> the tensors in it."""
    return {
        "diffusion_models/micro-flux1-dev.safetensors": flux.flux(guidance=True),
        "diffusion_models/micro-z_image_turbo.safetensors": zimage.z_image(),
        "text_encoders/micro-clip_l.safetensors": clip_l(),
        "text_encoders/micro-t5xxl.safetensors": t5(),
        "text_encoders/micro-qwen_3_4b.safetensors": qwen(),
        "vae/micro-ae.safetensors": vae(flux.LATENT),
        "checkpoints/micro-flux1-schnell.safetensors": {
            **under("model.diffusion_model.", flux.flux(guidance=False)),
            **under("text_encoders.clip_l.transformer.", clip_l()),
            **under("text_encoders.t5xxl.transformer.", t5()),
            **under("vae.", vae(flux.LATENT)),
        },
        "checkpoints/micro-sdxl.safetensors": {
            **under("model.diffusion_model.", sdxl.unet()),
            **under("conditioner.embedders.0.transformer.", clip_l(layers=3)),
            **under("conditioner.embedders.1.model.", clip_g()),
            **under("first_stage_model.", vae(sdxl.LATENT)),
        },
        "controlnet/micro-instantid-controlnet.safetensors": sdxl.controlnet(),
        "instantid/micro-ip-adapter.safetensors": instantid.adapter(),
        **loras(),
    }


def loras() -> dict[str, Shapes]:
    return {
        "loras/micro-flux-lora.safetensors": flux.flux_lora(),
        "loras/micro-z-image-lora.safetensors": zimage.z_image_lora(),
    }


def make_faces(folder: Path) -> list[Path]:
    """Write the pack that the InstantID nodes look for; it finds the faces of drawn portraits."""
    pack = folder / FACES
    pack.mkdir(parents=True, exist_ok=True)
    detector, embedder = pack / "micro_scrfd.onnx", pack / "micro_arcface.onnx"
    make_detector(detector)
    make_embedder(embedder)
    return [detector, embedder]


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    target = Path(sys.argv[1])
    faces = make_faces(target) if find_spec("onnx") else []
    for made in [*make(target), *faces]:
        sys.stdout.write(f"{made}\n")
    if not faces:
        sys.stderr.write("no face pack: the package onnx is not installed\n")
