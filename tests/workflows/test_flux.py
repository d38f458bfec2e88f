from typing import Any

import pytest

from tests.support.recordings import recording
from workflows.flux import text_to_image
from workflows.graph import Graph
from workflows.interfaces import committed
from workflows.validation import require_valid

PARTS = {
    "unet": "micro-flux1-dev.safetensors",
    "clip_l": "micro-clip_l.safetensors",
    "t5": "micro-t5xxl.safetensors",
    "vae": "micro-ae.safetensors",
}
ALL_IN_ONE = {"checkpoint": "flux1-schnell-fp8.safetensors"}


def graph(weights: dict[str, str], **changes: Any) -> Graph:
    settings: dict[str, Any] = {
        "prompt": "a cat",
        "width": 64,
        "height": 64,
        "steps": 3,
        "guidance": 3.5,
        "seed": 7000,
        "filename_prefix": "t2i",
    }
    return text_to_image(weights, **(settings | changes))


def test_the_dev_graph_is_the_one_that_was_measured() -> None:
    measured = recording("flux_cold").graph
    ours = graph(PARTS, seed=measured["9"]["inputs"]["seed"]).api()
    names = {"1": "unet", "2": "clip", "3": "vae", "4": "prompt", "5": "guidance", "6": "latent"}
    names |= {"8": "negative", "9": "sampler", "10": "decode", "save": "save"}

    def renamed(value: Any) -> Any:
        return [names[value[0]], value[1]] if isinstance(value, list) else value

    assert ours == {
        names[node_id]: {
            "class_type": node["class_type"],
            "inputs": {name: renamed(value) for name, value in node["inputs"].items()},
        }
        for node_id, node in measured.items()
    }


def test_without_guidance_the_text_goes_straight_to_the_sampler() -> None:
    built = graph(PARTS, guidance=None)

    assert "FluxGuidance" not in {node.class_type for node in built}
    assert built["sampler"].inputs["positive"] == built["prompt"].out()


def test_an_all_in_one_checkpoint_gives_model_encoder_and_vae() -> None:
    built = graph(ALL_IN_ONE)
    loader = built["checkpoint"]

    assert loader.inputs == {"ckpt_name": "flux1-schnell-fp8.safetensors"}
    assert built["sampler"].inputs["model"] == loader.out(0)
    assert built["prompt"].inputs["clip"] == loader.out(1)
    assert built["decode"].inputs["vae"] == loader.out(2)


@pytest.mark.parametrize("weights", [PARTS, ALL_IN_ONE])
@pytest.mark.parametrize("guidance", [None, 3.5])
def test_each_shape_fits_the_node_interfaces(
    weights: dict[str, str], guidance: float | None
) -> None:
    require_valid(graph(weights, guidance=guidance), committed())
