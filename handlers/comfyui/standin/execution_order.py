"""What a prompt will run and in which order. Pure; as ComfyUI's executor decides it."""

import hashlib
import json
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from workflows.input_checks import finalized, plain_value
from workflows.interfaces import Interfaces

Graph = Mapping[str, Mapping[str, Any]]


def is_link(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and isinstance(value[0], str)


def converted(graph: Graph, interfaces: Interfaces) -> dict[str, Any]:
    """Plain values as validation leaves them: of the type of their input, lists unwrapped."""
    return {node_id: _converted(node, interfaces) for node_id, node in graph.items()}


def _converted(node: Mapping[str, Any], interfaces: Interfaces) -> Mapping[str, Any]:
    inputs = node.get("inputs")
    interface = interfaces.nodes.get(node["class_type"])
    if not isinstance(inputs, dict) or interface is None:
        return node
    specs = {name: spec for name, spec, _ in finalized(interface, inputs)}
    return {
        **node,
        "inputs": {
            name: plain_value(specs[name], value)
            if name in specs and not isinstance(value, list)
            else value
            for name, value in inputs.items()
        },
    }


def sources(graph: Graph, node_id: str) -> Iterator[str]:
    """The nodes that this one's inputs link to, in the order of its inputs."""
    for value in graph[node_id]["inputs"].values():
        if is_link(value):
            yield value[0]


def ancestry(graph: Graph, node_id: str) -> list[str]:
    """The node and all that it depends on, nearest first."""
    found = [node_id]
    for each in found:
        found += [source for source in dict.fromkeys(sources(graph, each)) if source not in found]
    return found


def signatures(
    graph: Graph,
    outputs: Collection[str],
    interfaces: Interfaces,
    changes: Callable[[str], str],
) -> dict[str, str]:
    """Cache keys of the nodes that the outputs need: class, inputs and everything before them.

    Node ids do not count, so that equal nodes share an entry; `changes` adds what the inputs do
    not show, such as the bytes of a file.
    """
    done: dict[str, str] = {}

    def sign(node_id: str) -> str:
        if node_id not in done:
            node = graph[node_id]
            inputs = {
                name: [sign(value[0]), value[1]] if is_link(value) else {"value": value}
                for name, value in node["inputs"].items()
            }
            own = node_id if "unique_id" in interfaces.nodes[node["class_type"]].hidden else ""
            text = json.dumps(
                [node["class_type"], own, changes(node_id), inputs], sort_keys=True, default=str
            )
            done[node_id] = hashlib.sha256(text.encode()).hexdigest()
        return done[node_id]

    for output in outputs:
        sign(output)
    return done


def order(
    graph: Graph, outputs: Collection[str], cached: Collection[str], interfaces: Interfaces
) -> list[str]:
    """The nodes to visit, in order. Cached ones are left out, but for the outputs themselves."""
    pending, before = _needed(graph, outputs, cached)
    after: dict[str, list[str]] = {node_id: [] for node_id in pending}
    for node_id, required_inputs in before.items():
        for source in required_inputs:
            after[source].append(node_id)
    is_output = {
        node_id for node_id in pending if interfaces.nodes[graph[node_id]["class_type"]].output_node
    }
    visited: list[str] = []
    while pending:
        ready = [node_id for node_id in pending if not before[node_id]]
        node_id = _pick(ready, after, is_output)
        pending.remove(node_id)
        visited.append(node_id)
        for follower in after[node_id]:
            before[follower].discard(node_id)
    return visited


def _needed(
    graph: Graph, outputs: Collection[str], cached: Collection[str]
) -> tuple[list[str], dict[str, set[str]]]:
    """Nodes in the order in which they are discovered, and what each still waits for."""
    pending: list[str] = []
    before: dict[str, set[str]] = {}
    for output in outputs:
        stack = [output]
        while stack:
            node_id = stack.pop()
            if node_id in before:
                continue
            pending.append(node_id)
            required_inputs = [source for source in sources(graph, node_id) if source not in cached]
            before[node_id] = set(required_inputs)
            stack += required_inputs
    return pending, before


def _pick(ready: list[str], after: Mapping[str, list[str]], is_output: Collection[str]) -> str:
    """An output first, then what leads to one in one step, then in two, else the first found."""
    for node_id in ready:
        if node_id in is_output:
            return node_id
    for node_id in ready:
        if any(follower in is_output for follower in after[node_id]):
            return node_id
    for node_id in ready:
        for follower in after[node_id]:
            if any(second in is_output for second in after[follower]):
                return node_id
    return ready[0]
