import ast
from pathlib import Path

import workflows
from workflows import required_nodes
from workflows.interfaces import committed


def added_classes() -> set[str]:
    """The first argument of each `graph.add(...)` in this package."""
    found = set()
    for file in Path(workflows.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            match node:
                case ast.Call(ast.Attribute(attr="add"), [ast.Constant(str() as name), *_]):
                    found.add(name)
    return found


def test_the_list_is_what_the_graphs_are_made_of() -> None:
    assert added_classes() == set(required_nodes.ALL)


def test_every_needed_node_is_in_the_table_and_of_the_pack_that_is_said() -> None:
    for pack, names in required_nodes.NEEDED.items():
        for name in names:
            assert required_nodes.pack_of(name) == pack


def test_an_older_server_a_missing_pack_and_a_wrong_graph_are_told_apart() -> None:
    ours = committed().comfyui_version

    old = required_nodes.why_missing("FluxGuidance", "0.2.0")
    pack = required_nodes.why_missing("ApplyInstantIDAdvanced", "0.8.0")
    wrong = required_nodes.why_missing("KSamplr", "0.8.0")

    assert old.startswith(f"ComfyUI {ours} has it and ComfyUI 0.2.0 has not")
    assert pack.startswith("It is of the node pack ComfyUI_InstantID, which ComfyUI 0.8.0 lacks")
    assert wrong.endswith("check the graph. Did you mean KSampler?")
    assert "Leave step_cache out" in required_nodes.why_missing("RylaStepCache", "0.33.0")
    assert "KSampl" not in required_nodes.why_missing("Zzzz", "0.8.0")
