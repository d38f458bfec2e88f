from typing import Any

import pytest
from pydantic import ValidationError

from config.models import load_models
from config.routes import load_routes
from handlers.kinds.base import JobRequest, Work
from handlers.kinds.zimage import ZImageTurbo, ZImageTurboInput
from workflows.interfaces import committed
from workflows.validation import require_valid

KIND = ZImageTurbo()


def asked(**fields: Any) -> ZImageTurboInput:
    return ZImageTurboInput.model_validate({"prompt": "a cat"} | fields)


def job(request: ZImageTurboInput) -> JobRequest[ZImageTurboInput]:
    return JobRequest(job_id="j1", attempt=1, input=request, seed=5)


def test_eight_steps_are_the_default() -> None:
    assert KIND.work(asked()) == Work(images=1, steps=8, width=1024, height=1024)


def test_guidance_is_no_field_of_it() -> None:
    with pytest.raises(ValidationError, match="guidance"):
        asked(guidance=3.5)


def test_its_graph_fits_the_node_interfaces_and_samples_as_it_was_distilled() -> None:
    (graph,) = KIND.graphs(job(asked(width=768, height=1152)), load_models())

    require_valid(graph, committed())
    sampler = graph["sampler"].inputs
    assert (sampler["cfg"], sampler["sampler_name"], sampler["scheduler"]) == (
        1.0,
        "res_multistep",
        "simple",
    )
    assert graph["shift"].inputs["shift"] == 3.0
    assert (graph["latent"].inputs["width"], graph["latent"].inputs["height"]) == (768, 1152)
    assert graph["unet"].inputs["unet_name"] == "z_image_turbo_bf16.safetensors"


@pytest.mark.parametrize(("cfg", "said"), [(1.0, []), (0.0, ["cfg 0 was ignored"])])
def test_a_cfg_that_it_cannot_follow_is_said(cfg: float, said: list[str]) -> None:
    assert [text.partition(":")[0] for text in KIND.warnings(asked(cfg=cfg))] == said


def test_its_route_exists() -> None:
    assert load_routes().route(KIND.route).gpus
