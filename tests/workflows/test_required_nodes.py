import ast
from pathlib import Path

import workflows
from workflows import required_nodes
from workflows.missing_nodes import pack_of


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
            assert pack_of(name) == pack
