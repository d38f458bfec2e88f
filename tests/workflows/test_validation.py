import json
from typing import Any

import pytest

from config.errors import GraphRejected, NodeMissing
from tests.support.recordings import NAMES, http_probes, recording
from workflows.graph import Graph
from workflows.interfaces import committed
from workflows.validation import require_valid, validate
from workflows.validation_result import ValidationResult

FLUX = recording("flux_cold").graph
FILES = {
    "diffusion_models": [
        "micro-flux1-dev.safetensors",
        "micro-flux1-schnell.safetensors",
        "micro-wan2.1_t2v.safetensors",
        "micro-z_image_turbo.safetensors",
        "stock-flux1-dev.safetensors",
    ],
    "text_encoders": [
        "micro-clip_l.safetensors",
        "micro-qwen_3_4b.safetensors",
        "micro-t5xxl.safetensors",
        "micro-umt5_xxl.safetensors",
        "stock-clip_l.safetensors",
        "stock-t5xxl_fp8_zeros.safetensors",
    ],
    "input": ["base.png", "ref.png"],
}
"""What lay in the folders of the recorded server."""


def changed(node: str, **inputs: Any) -> dict[str, Any]:
    """FLUX with other inputs at one node; None takes an input away."""
    graph = json.loads(json.dumps(FLUX))
    graph[node]["inputs"].update(inputs)
    graph[node]["inputs"] = {k: v for k, v in graph[node]["inputs"].items() if v is not None}
    return dict(graph)


def without(node: str, key: str | None = None) -> dict[str, Any]:
    graph = json.loads(json.dumps(FLUX))
    if key is None:
        del graph[node]
    else:
        del graph[node][key]
    return dict(graph)


def and_another(node_id: str, class_type: str, **inputs: Any) -> dict[str, Any]:
    return {**FLUX, node_id: {"class_type": class_type, "inputs": inputs}}


TWO_BAD = changed("2", clip_name1="nah.safetensors")
TWO_BAD["1"] = changed("1", unet_name="nope.safetensors")["1"]
PROBES = {
    "prompt empty dict": {},
    "unknown class": {**FLUX, "9": {"class_type": "NoSuchNode", "inputs": {}}},
    "no class_type": without("9", "class_type"),
    "no inputs key": without("9", "inputs"),
    "UI-format workflow": {"nodes": [], "links": []},
    "no output node": without("save"),
    "missing required input": changed("9", seed=None),
    "missing link input": changed("9", model=None),
    "model file not in list": changed("1", unet_name="nope.safetensors"),
    "enum not in list": changed("9", sampler_name="nope"),
    "int too big": changed("9", steps=99999),
    "int too small": changed("9", steps=0),
    "int not convertible": changed("9", steps="abc"),
    "wrong link type": changed("9", model=["2", 0]),
    "link to missing node": changed("9", latent_image=["777", 0]),
    "link index out of range": changed("9", latent_image=["6", 5]),
    "cycle": changed("4", clip=["4", 0]),
    "two outputs, one bad: partial accept": and_another("bad", "SaveImage", images=["10", 0]),
    "two bad nodes": TWO_BAD,
}


def answer(verdict: ValidationResult) -> dict[str, Any]:
    if verdict.error is None:
        return {"node_errors": verdict.node_errors}
    return {"error": verdict.error.api(), "node_errors": verdict.node_errors}


def comparable(value: Any) -> Any:
    """Without what the table leaves out: tooltips, and the frames of ComfyUI's own code."""
    if isinstance(value, dict):
        left_out = ("tooltip", "traceback", "prompt_id", "number")
        return {key: comparable(each) for key, each in value.items() if key not in left_out}
    return [comparable(each) for each in value] if isinstance(value, list) else value


@pytest.mark.parametrize("title", PROBES)
def test_the_verdict_is_comfyuis_own(title: str) -> None:
    status, body = http_probes()[title]

    verdict = validate(PROBES[title], committed(), FILES)

    assert (400 if verdict.error is not None else 200) == status
    assert comparable(answer(verdict)) == comparable(json.loads(body))


def test_a_missing_input_picture_is_told_as_recorded() -> None:
    graph = and_another("li", "LoadImage", image="nope.png")
    graph["s2"] = {
        "class_type": "SaveImage",
        "inputs": {"images": ["li", 0], "filename_prefix": "x"},
    }

    verdict = validate(graph, committed(), FILES)

    _, body = http_probes()["missing LoadImage file"]
    assert verdict.node_errors == json.loads(body)["node_errors"]
    assert verdict.good_outputs == ("save",)


def test_a_true_cycle_is_refused_and_no_node_named() -> None:
    verdict = validate(changed("8", conditioning=["8", 0]), committed())

    assert verdict.error is not None
    assert (verdict.error.details, verdict.nodes) == ("", ())


@pytest.mark.parametrize("name", NAMES)
def test_graphs_that_ran_are_valid(name: str) -> None:
    assert validate(recording(name).graph, committed()) == ValidationResult(("save",), None)


def test_without_a_list_of_files_any_name_will_do() -> None:
    assert validate(changed("1", unet_name="mine.safetensors"), committed()).error is None


def test_growing_and_dynamic_inputs_are_checked() -> None:
    batch = {"images.image0": ["10", 0], "images.image1": ["10", 0]}
    resize = {"input": ["b", 0], "resize_type": "scale width", "scale_method": "area"}

    def graph(batch: dict[str, Any], resize: dict[str, Any]) -> dict[str, Any]:
        nodes = and_another("b", "BatchImagesNode", **batch)
        nodes["r"] = {"class_type": "ResizeImageMaskNode", "inputs": resize}
        nodes["save"] = {
            "class_type": "SaveImage",
            "inputs": {"images": ["r", 0], "filename_prefix": "x"},
        }
        return nodes

    fits = validate(graph(batch, {**resize, "resize_type.width": 8}), committed())
    lacks = validate(graph({"images.image0": ["10", 0]}, resize), committed())
    unknown = validate(graph(batch, {**resize, "resize_type": "nope"}), committed())

    assert fits.error is None
    assert {(row.node, row.problems[0].details) for row in lacks.nodes} == {
        ("b", "images.image1"),
        ("r", "resize_type.width"),
    }
    assert unknown.nodes[0].problems[0].type == "value_not_in_list"


def test_targets_leave_other_outputs_unchecked() -> None:
    graph = and_another("bad", "SaveImage", images=["10", 0])

    assert validate(graph, committed(), targets=["save"]) == ValidationResult(("save",), None)


def built(**sampler: Any) -> Graph:
    graph = Graph()
    latent = graph.add("EmptySD3LatentImage", width=64, height=64, batch_size=1)
    vae = graph.add("VAELoader", vae_name="ae.safetensors")
    image = graph.add("VAEDecode", samples=latent.out(), vae=vae.out())
    graph.add("SaveImage", id="save", images=image.out(), **({"filename_prefix": "x"} | sampler))
    return graph


def test_a_valid_graph_passes() -> None:
    require_valid(built(), committed())


def test_a_class_that_is_not_there_names_the_version_that_lacks_it() -> None:
    graph = built()
    graph.add("FromTheFuture")

    with pytest.raises(NodeMissing, match=r"ComfyUI 0\.8\.0 has no node class 'FromTheFuture'"):
        require_valid(graph, committed())


def test_any_problem_rejects_the_graph_with_node_and_reason() -> None:
    graph = built()
    graph.add("SaveImage", images=graph["3"].out())  # ComfyUI would drop it and run the other

    with pytest.raises(GraphRejected, match="SaveImage #5: Required input is missing: filename_p"):
        require_valid(graph, committed())
