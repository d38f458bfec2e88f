import json
from typing import Any

import pytest

from workflows.graph import Graph


def small(prefix: str = "a", seed: int = 1) -> Graph:
    graph = Graph()
    noise = graph.add("RandomNoise", noise_seed=seed)
    graph.add("SaveImage", id="save", images=noise.out(), filename_prefix=prefix)
    return graph


def test_links_become_pairs_in_the_api_format() -> None:
    assert small().api() == {
        "1": {"class_type": "RandomNoise", "inputs": {"noise_seed": 1}},
        "save": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "a"}},
    }


def test_the_api_format_is_json_and_a_copy() -> None:
    graph = small()
    before = json.dumps(graph.api())
    graph.api()["1"]["inputs"]["noise_seed"] = 2

    assert json.dumps(graph.api()) == before


def test_an_id_is_used_once() -> None:
    graph = small()

    with pytest.raises(ValueError, match="'save' is used twice"):
        graph.add("SaveImage", id="save")


def test_a_link_leads_to_a_node_of_the_same_graph() -> None:
    stranger = small()["save"].out()

    with pytest.raises(ValueError, match=r"VAEDecode\.samples links to 'save'"):
        Graph().add("VAEDecode", samples=stranger)


def test_input_names_may_hold_dots() -> None:
    graph = Graph()
    inputs: dict[str, Any] = {"resize_type.width": 8}
    graph.add("ResizeImageMaskNode", **inputs)

    assert graph["1"].inputs == {"resize_type.width": 8}


def test_the_digest_is_of_what_decides_the_pictures() -> None:
    assert small(prefix="a").digest() == small(prefix="b").digest()
    assert small(seed=1).digest() != small(seed=2).digest()
    assert len(small().digest()) == 64
