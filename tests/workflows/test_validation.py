import json
from typing import Any

import pytest

from config.errors import GraphRejected, NodeMissing
from tests.support.recordings import NAMES, http_probes, recording
from tests.support.refused_graphs import FILES, GRAPHS, and_another, changed
from workflows.graph import Graph
from workflows.interfaces import ENUM, InputSpec, Interfaces, NodeInterface, committed
from workflows.validation import require_valid, validate
from workflows.validation_result import ValidationResult


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


@pytest.mark.parametrize("title", GRAPHS)
def test_the_verdict_is_comfyuis_own(title: str) -> None:
    status, body = http_probes(committed().comfyui_version)[title]

    verdict = validate(GRAPHS[title], committed(), FILES)

    assert (400 if verdict.error is not None else 200) == status
    assert comparable(answer(verdict)) == comparable(json.loads(body))


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
    lacks = validate(graph({}, resize), committed())
    unknown = validate(graph(batch, {**resize, "resize_type": "nope"}), committed())

    assert fits.error is None
    assert {(row.node, row.problems[0].details) for row in lacks.nodes} == {
        ("b", "images.image0"),
        ("r", "resize_type.width"),
    }
    assert unknown.nodes[0].problems[0].type == "value_not_in_list"


@pytest.mark.parametrize(
    ("inputs", "told"),
    [
        ({"codec": "auto"}, None),
        ({"codec": "h264"}, None),
        ({"codec": "h264", "codec.encoding": "nope"}, "codec.encoding: 'nope' not in"),
        ({"codec": "h264", "codec.encoding": "re-encode"}, "codec.encoding.crf"),
    ],
)
def test_a_choice_within_a_choice_is_checked_but_may_be_left_out(
    inputs: dict[str, Any], told: str | None
) -> None:
    graph = and_another("v", "CreateVideo", images=["10", 0], fps=8.0)
    graph["clip"] = {
        "class_type": "SaveVideo",
        "inputs": {"video": ["v", 0], "filename_prefix": "x", "format": "mp4", **inputs},
    }

    verdict = validate(graph, committed(), FILES)

    details = [each.details for row in verdict.nodes for each in row.problems]
    assert [each for each in details if told and told in each] == details[:1]
    assert bool(details) == (told is not None)


def test_several_values_are_taken_where_they_may_be_chosen_and_wrong_ones_are_listed() -> None:
    several = InputSpec(ENUM, ("a", "b", "c"), multiselect=True)
    node = NodeInterface("Several", (), True, "nodes", required={"x": several})
    table = Interfaces("0", {"Several": node})

    def told(value: Any) -> list[str]:
        graph = {"1": {"class_type": "Several", "inputs": {"x": {"__value__": value}}}}
        return [each.details for row in validate(graph, table).nodes for each in row.problems]

    assert told(["a", "c"]) == told("b") == []
    assert told(["a", "y", 3]) == ["x: 'y', 3 not in ['a', 'b', 'c']"]


def test_a_picture_that_was_saved_can_be_linked_to() -> None:
    graph = and_another(
        "turned", "ImageFlip", image=["save", 0], flip_method="y-axis: horizontally"
    )
    graph["again"] = {
        "class_type": "SaveImage",
        "inputs": {"images": ["turned", 0], "filename_prefix": "x"},
    }

    assert validate(graph, committed(), FILES).error is None


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

    with pytest.raises(NodeMissing, match=r"ComfyUI 0\.33\.0 has no node class 'FromTheFuture'"):
        require_valid(graph, committed())


def test_any_problem_rejects_the_graph_with_node_and_reason() -> None:
    graph = built()
    graph.add("SaveImage", images=graph["3"].out())  # ComfyUI would drop it and run the other

    with pytest.raises(GraphRejected, match="SaveImage #5: Required input is missing: filename_p"):
        require_valid(graph, committed())
