"""ComfyUI as anybody starts it: stock nodes, no flags of ours, each prompt naming its own nodes."""

import argparse
import io
import json
import os
import statistics
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

from PIL import Image

from benchmarks.gpu_worker import SIDE, SITTER
from config.models import load_models
from handlers.comfyui.client import ComfyClient
from handlers.comfyui.process import ComfyProcess
from workflows import flux, instantid
from workflows.graph import Graph
from workflows.instantid import Crop, Identity, Sampling

FOLDERS = {
    name: name
    for name in (
        "diffusion_models",
        "text_encoders",
        "vae",
        "checkpoints",
        "controlnet",
        "instantid",
    )
}
CROP = Crop(112, 112, 800, 800)


class Plain:
    def __init__(self, options: argparse.Namespace, client: ComfyClient) -> None:
        self._client = client
        self._number = 0
        models = load_models(options.models_file)
        self._flux, self._sdxl = (
            {role: each.file for role, each in models.weights(name).items()}
            for name in ("flux-dev", "sdxl-instantid")
        )
        noise = io.BytesIO()
        Image.effect_noise((SIDE, SIDE), 60).convert("RGB").save(noise, "PNG")
        self._picture = client.upload_image(noise.getvalue(), "noise.png")
        self._reference = client.upload_image(SITTER, "sitter.png")

    def flux(self, steps: int) -> float:
        """Seconds of a picture by Flux."""
        self._number += 1
        graph = flux.text_to_image(
            self._flux,
            prompt="a photograph of a red fox",
            width=SIDE,
            height=SIDE,
            steps=steps,
            guidance=3.5,
            seed=self._number,
            filename_prefix=f"plain-{self._number}",
        )
        return self._run(graph)

    def face(self) -> float:
        """Seconds of a face made anew by SDXL and InstantID, 20 steps at 0.6."""
        self._number += 1
        graph = instantid.face_pass(
            self._sdxl,
            picture=self._picture,
            crop=CROP,
            prompt="a photograph of a person",
            negative_prompt="",
            identity=Identity(self._reference, strength=0.8, controlnet_strength=0.8),
            sampling=Sampling(self._number, 20, 4.5, "euler", "karras", denoise=0.6),
            filename_prefix=f"plain-{self._number}",
        )
        return self._run(graph)

    def _run(self, graph: Graph) -> float:
        began = time.perf_counter()
        self._client.run(graph.api(), prompt_id=str(uuid4()), deadline_s=300)
        return time.perf_counter() - began


def plain(
    options: argparse.Namespace, folder: Path, steps: int, short_steps: int
) -> Mapping[str, Any]:
    """Seconds of start, first and warm pictures, and of pictures after another kind."""
    began = time.perf_counter()
    folder.mkdir(parents=True, exist_ok=True)
    paths = folder / "plain.yaml"
    paths.write_text(json.dumps({"made": {"base_path": str(options.weights), **FOLDERS}}))
    process = ComfyProcess(
        options.comfyui,
        work_dir=folder,
        environ=os.environ,
        python=str(options.python),
        flags=tuple(options.plain_flags.split()),
        extra_model_paths=paths,
    )
    made: dict[str, Any] = {}
    with process, ComfyClient(process.url, output_folder=process.output_folder) as client:
        made["plain_start_s"] = time.perf_counter() - began
        run = Plain(options, client)
        made["plain_first_picture_s"] = run.flux(steps)
        made["plain_warm_flux_s"] = spread(run.flux(steps) for _ in range(6))
        times = sorted(run.flux(short_steps) for _ in range(20))
        made["plain_pause_over_median_s"] = times[-1] - statistics.median(times)
        made["plain_first_face_s"] = run.face()
        made["plain_face_s"] = spread(run.face() for _ in range(4))
        pairs = [(run.flux(steps), run.face()) for _ in range(2)]
        made["plain_flux_after_face_s"] = spread(one for one, _ in pairs)
        made["plain_face_after_flux_s"] = spread(other for _, other in pairs)
    return made


def spread(values: Iterable[float]) -> tuple[float, float, float, int]:
    """Least, median, most, and how many."""
    found = sorted(values)
    return found[0], statistics.median(found), found[-1], len(found)
