import json
from typing import Any

import pytest

from config.errors import GraphRejected
from tests.support.recordings import recording
from workflows.execution_checks import Failure, failures
from workflows.graph import Graph, Link
from workflows.interfaces import committed
from workflows.validation import require_valid

FLUX = recording("flux_cold").graph


def changed(node: str, **inputs: Any) -> dict[str, Any]:
    graph = json.loads(json.dumps(FLUX))
    graph[node]["inputs"] |= inputs
    return dict(graph)


def only(node: str, **inputs: Any) -> Failure:
    [failure] = failures(changed(node, **inputs), node, committed())
    return failure


def as_graph(api: dict[str, Any], order: list[str]) -> Graph:
    graph = Graph()
    for node_id in order:
        inputs = {
            name: Link(*value) if isinstance(value, list) else value
            for name, value in api[node_id]["inputs"].items()
        }
        graph.add(api[node_id]["class_type"], id=node_id, **inputs)
    return graph


def test_the_graphs_that_ran_have_nothing_to_fail_on() -> None:
    for node_id in FLUX:
        assert not list(failures(FLUX, node_id, committed()))


@pytest.mark.parametrize("value", [None, "1", 7, True])
def test_a_plain_value_where_a_link_must_be_fails_with_a_link_to_write(value: Any) -> None:
    failure = only("9", model=value)

    assert (failure.node, failure.input, failure.value) == ("9", "model", value)
    assert "where a link to a MODEL must be" in failure.message
    assert 'Write ["1", 0], for the output of node 1, UNETLoader.' in failure.hint
    assert isinstance(failure.exception, AttributeError)


def test_without_such_a_node_the_classes_that_give_one_are_named() -> None:
    failure = only("9", positive=None)
    assert "CONDITIONING" in failure.message

    graph = {"1": {"class_type": "VAEDecode", "inputs": {"samples": None, "vae": None}}}
    [_, vae] = failures(graph, "1", committed())
    assert "VAELoader" in vae.hint


def test_a_link_to_an_input_that_is_not_there_fails_with_the_one_that_was_meant() -> None:
    failure = only("9", modle=["1", 0])

    assert "has no input 'modle'" in failure.message
    assert "Did you mean 'model'?" in failure.hint
    assert isinstance(failure.exception, TypeError)
    assert "keyword argument" in str(failure.exception)


def test_what_comfyui_takes_is_no_failure() -> None:
    graph = changed("9", note="ignored")
    assert not list(failures(graph, "9", committed()))

    paste = {"class_type": "ImageCompositeMasked", "inputs": {"mask": None}}
    assert not list(failures({"1": paste}, "1", committed())), "an optional link may be null"
    paste["inputs"] = {"mask": "red"}
    assert len(list(failures({"1": paste}, "1", committed()))) == 1


def test_a_graph_of_ours_is_refused_for_either_if_the_node_runs() -> None:
    order = ["empty", "save", "unused"]
    api: dict[str, Any] = {
        "empty": {
            "class_type": "EmptyImage",
            "inputs": {"width": 64, "height": 64, "batch_size": 1, "color": 0},
        },
        "save": {"class_type": "SaveImage", "inputs": {"images": ["empty", 0],
                                                       "filename_prefix": "x"}},
        "unused": {"class_type": "ImageInvert", "inputs": {"image": None}},
    }  # fmt: skip
    require_valid(as_graph(api, order), committed())

    api["save"]["inputs"]["images"] = None
    with pytest.raises(GraphRejected, match="a link to a IMAGE") as caught:
        require_valid(as_graph(api, order), committed())

    assert caught.value.field == "save"
    assert caught.value.hint == 'Write ["empty", 0], for the output of node empty, EmptyImage.'
