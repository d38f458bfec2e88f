"""The table of node interfaces with those of our own nodes that a kind's graph may name. The others
take the place of ComfyUI's once a graph has been judged (workflows/node_pack.py)."""

from dataclasses import replace
from functools import cache

from workflows.interfaces import InputSpec, Interfaces, NodeInterface, committed
from workflows.node_pack import CLASSES, STEP_CACHE

OWN = {
    STEP_CACHE: NodeInterface(
        STEP_CACHE,
        output=("MODEL",),
        output_node=False,
        module="custom_nodes.ryla",
        required={
            "model": InputSpec("MODEL"),
            "threshold": InputSpec("FLOAT", default=0.0, min=0.0, max=1.0, step=0.01),
        },
    )
}


def without_own(live: Interfaces) -> Interfaces:
    """Of a running server, what ComfyUI and other packs have."""
    return replace(
        live, nodes={name: node for name, node in live.nodes.items() if name not in CLASSES}
    )


@cache
def known() -> Interfaces:
    """What a worker's ComfyUI has."""
    table = committed()
    return replace(table, nodes={**table.nodes, **OWN})
