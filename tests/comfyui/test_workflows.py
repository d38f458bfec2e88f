"""Graphs of a caller's, through the kind `workflow`, on the stand-in and on a real ComfyUI."""

import os
import time
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image

from config.models import load_models
from config.settings import Settings
from handlers.comfyui.client import ComfyClient
from handlers.kinds.base import JobRequest, Rendered
from handlers.kinds.requirements import Supplies
from handlers.media.raw_outputs import finish
from handlers.workflow_graph.kind import Workflow, WorkflowInput
from pipeline.models.face_packs import FaceModels
from pipeline.worker.comfyui import ComfyGraphRunner
from tests.comfyui.micro.table import MICRO_MODELS
from tests.support.comfy_wire import Server, flux_graph

MODELS = load_models(Path(os.environ.get("RYLA_COMFYUI_MODELS_FILE", MICRO_MODELS)))
SECRET = "a lamp that nobody else asks for"


def png(colour: str) -> bytes:
    file = BytesIO()
    Image.new("RGB", (64, 64), colour).save(file, "PNG")
    return file.getvalue()


def run(
    server: Server, workflow: dict[str, Any], images: dict[str, bytes], **fields: Any
) -> list[Rendered]:
    inputs = dict.fromkeys(images, "inputs/0.png")
    given = WorkflowInput.model_validate({"workflow": workflow, "inputs": inputs, **fields})
    supplies = Supplies(images={f"inputs.{name}": body for name, body in images.items()})
    job = JobRequest(f"workflow-{time.time_ns()}", 1, given, 7, supplies)
    with ComfyClient(server.url) as client:
        runner = ComfyGraphRunner(
            client,
            FaceModels(Settings()),
            report=lambda fraction, node: None,
            should_stop=lambda: False,
            until=time.monotonic() + 600,
        )
        return list(Workflow().run(job, MODELS, runner))


def test_stills_animations_and_videos_are_outputs(server: Server) -> None:
    workflow = flux_graph(server)
    encode = next(n for n in workflow.values() if n["class_type"] == "CLIPTextEncode")
    encode["inputs"]["text"] = "{{prompt}}"
    images = workflow["save"]["inputs"]["images"]
    latent = next(n for n in workflow.values() if n["class_type"] == "EmptySD3LatentImage")
    latent["inputs"] |= {"width": 64, "height": 64, "batch_size": 2}
    workflow |= {
        "webp": {
            "class_type": "SaveAnimatedWEBP",
            "inputs": {
                "images": images,
                "filename_prefix": "../x",
                "fps": 6.0,
                "lossless": True,
                "quality": 80,
                "method": "default",
            },
        },
        "video": {"class_type": "CreateVideo", "inputs": {"images": images, "fps": 6.0}},
        "mp4": {
            "class_type": "SaveVideo",
            "inputs": {
                "video": ["video", 0],
                "filename_prefix": "/tmp/x",
                "format": "auto",
                "codec": "auto",
            },
        },
    }
    made = run(server, workflow, {}, prompt=SECRET)
    done = [finish(each.body, each.saved_as or "", fmt=None, job_id="job") for each in made]
    kinds = sorted(each.content_type for each in done)

    video = "video/mp4" if server.real else "image/webp"  # what the stand-in has for videos
    assert kinds == sorted(["image/png", "image/png", "image/webp", video])
    assert {(each.width, each.height) for each in done} <= {(64, 64), (None, None)}


def test_pictures_of_the_job_are_loaded(server: Server) -> None:
    workflow = {
        "a": {"class_type": "LoadImage", "inputs": {"image": "red one"}},
        "b": {"class_type": "LoadImage", "inputs": {"image": "blue one"}},
        "both": {
            "class_type": "ImageStitch",
            "inputs": {
                "image1": ["a", 0],
                "image2": ["b", 0],
                "direction": "right",
                "match_image_size": True,
                "spacing_width": 0,
                "spacing_color": "white",
            },
        },
        "save": {"class_type": "SaveImage", "inputs": {"images": ["both", 0]}},
    }
    [made] = run(server, workflow, {"red one": png("red"), "blue one": png("blue")})
    image = Image.open(BytesIO(made.body)).convert("RGB")

    if server.real:  # the stand-in draws pictures instead of computing them
        assert image.size == (128, 64)
        assert image.getpixel((5, 5)) == (255, 0, 0)
        assert image.getpixel((120, 5)) == (0, 0, 255)
