import json
from typing import Any

import pytest

from handlers.comfyui.standin.execution_order import ancestry, order, signatures
from handlers.comfyui.standin.recipe import recipe, steps
from tests.support.recordings import NAMES, Recording, recording
from workflows.interfaces import committed


def frames(session: Recording, kind: str) -> list[dict[str, Any]]:
    messages = [json.loads(text) for _, text in session.frames if isinstance(text, str)]
    return [message["data"] for message in messages if message["type"] == kind]


@pytest.mark.parametrize("name", NAMES)
def test_nodes_run_in_the_order_of_comfyuis_own_executor(name: str) -> None:
    session = recording(name)
    cached = frames(session, "execution_cached")[0]["nodes"]
    ran = [data["node"] for data in frames(session, "executing") if data["node"] is not None]

    planned = order(session.graph, ["save"], cached, committed())

    # A cached output is visited, to be told again, and does not run; a failed prompt ends early.
    assert [node for node in planned if node not in cached][: len(ran)] == ran
    if session.history["status"]["completed"]:
        assert len(planned) == max(1, len(ran))


def signed(graph: dict[str, Any], changes: dict[str, str] | None = None) -> dict[str, str]:
    return signatures(graph, ["save"], committed(), lambda node: (changes or {}).get(node, ""))


def test_a_change_alters_the_keys_of_what_follows_it_and_no_others() -> None:
    graph = recording("flux_cold").graph
    other = json.loads(json.dumps(graph))
    other["9"]["inputs"]["seed"] += 1

    before, after = signed(graph), signed(other)

    assert {node for node in before if before[node] != after[node]} == {"9", "10", "save"}


def test_what_inputs_do_not_show_alters_keys_too() -> None:
    graph = recording("flux_cold").graph

    before, after = signed(graph), signed(graph, {"3": "new bytes"})

    assert {node for node in before if before[node] != after[node]} == {"3", "10", "save"}


def test_ids_do_not_count() -> None:
    graph = recording("flux_cold").graph
    renamed = json.loads(json.dumps(graph).replace('"10"', '"decode"'))

    assert signed(graph)["save"] == signed(renamed)["save"]


def test_a_recipe_is_read_off_the_graph() -> None:
    graph = recording("flux_lora").graph

    made = recipe(graph, "10", signed(graph))

    assert made.prompt == graph["4"]["inputs"]["text"]
    assert made.seed == graph["9"]["inputs"]["seed"]
    assert made.models == (graph["1"]["inputs"]["unet_name"],)
    assert made.loras == (f"{graph['7']['inputs']['lora_name']}@1.0",)
    assert steps(graph, "9") == graph["9"]["inputs"]["steps"]


def test_the_positive_text_is_the_prompt_whichever_comes_first() -> None:
    graph = recording("wan_video").graph
    graph = {**graph, "9": json.loads(json.dumps(graph["9"]))}
    inputs = graph["9"]["inputs"]
    graph["9"]["inputs"] = {"negative": inputs.pop("negative"), **inputs}

    assert recipe(graph, "10", signed(graph)).prompt == graph["4"]["inputs"]["text"]


def test_ancestry_is_nearest_first_and_without_repeats() -> None:
    graph = recording("flux_cold").graph

    found = ancestry(graph, "10")

    assert found[0] == "10"
    assert len(found) == len(set(found)) == 9
