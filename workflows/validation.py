"""Whether a graph fits the node interfaces: ComfyUI's own checks, made before anything is sent.

The errors, their types, texts and grouping are those of ComfyUI's POST /prompt, so that our own
refusal reads like the server's, and the stand-in server can answer with them.
"""

from collections.abc import Collection, Mapping
from typing import Any

from config.errors import GraphRejected, NodeMissing
from workflows.execution_checks import failures
from workflows.graph import Graph
from workflows.graph_walk import Files, GraphWalk
from workflows.interfaces import Interfaces
from workflows.missing_nodes import why_missing
from workflows.validation_result import Problem, ValidationResult


def validate(
    graph: Mapping[str, Any],
    interfaces: Interfaces,
    files: Files | None = None,
    targets: Collection[str] | None = None,
) -> ValidationResult:
    """Check a graph in API format. File names are checked in the folders that `files` names.

    Of several output nodes only `targets` count, when given.
    """
    refused = _refused_as_a_whole(graph, interfaces)
    if refused is not None:
        return ValidationResult((), refused)
    outputs = [
        node_id
        for node_id, node in graph.items()
        if interfaces.nodes[node["class_type"]].output_node
        and (targets is None or node_id in targets)
    ]
    if not outputs:
        return ValidationResult((), Problem("prompt_no_outputs", "Prompt has no outputs", ""))
    return GraphWalk(graph, interfaces, files or {}).outputs(outputs)


def require_valid(
    graph: Graph,
    interfaces: Interfaces,
    lacking: Mapping[str, str] | None = None,
) -> None:
    """Raise NodeMissing for a class that the table lacks, GraphRejected for any other problem.

    `lacking` has hints for classes that a server may well lack.
    """
    api = graph.api()
    for node in graph:
        if node.class_type not in interfaces.nodes:
            raise NodeMissing(
                f"ComfyUI {interfaces.comfyui_version} has no node class {node.class_type!r}",
                field=node.id,
                value=node.class_type,
                hint=(lacking or {}).get(node.class_type)
                or why_missing(node.class_type, interfaces.comfyui_version),
            )
    verdict = validate(api, interfaces)
    if verdict.error is None and not verdict.nodes:
        _require_runnable(api, verdict.good_outputs, interfaces)
        return
    said = [
        f"{row.class_type} #{row.node}: {problem.message}: {problem.details}"
        for row in verdict.nodes
        for problem in row.problems
    ]
    message = verdict.error.message if verdict.error is not None else "a node does not validate"
    raise GraphRejected("; ".join(said) or message, value=verdict.node_errors or None)


def _require_runnable(
    graph: Mapping[str, Any], outputs: Collection[str], interfaces: Interfaces
) -> None:
    """Raises GraphRejected for what ComfyUI would accept, and fail on."""
    for node_id in _running(graph, outputs):
        for failure in failures(graph, node_id, interfaces):
            raise GraphRejected(
                failure.message, field=node_id, value=failure.value, hint=failure.hint
            )


def _running(graph: Mapping[str, Any], outputs: Collection[str]) -> list[str]:
    """The nodes that the outputs need, themselves included."""
    found = dict.fromkeys(outputs)
    waiting = list(found)
    while waiting:
        for value in graph[waiting.pop()]["inputs"].values():
            if isinstance(value, list) and value[0] in graph and value[0] not in found:
                found[value[0]] = None
                waiting.append(value[0])
    return list(found)


def _refused_as_a_whole(graph: Mapping[str, Any], interfaces: Interfaces) -> Problem | None:
    for node_id, node in graph.items():
        if not isinstance(node, dict) or "class_type" not in node:
            title = _title(node, None)
            said = title or f"ID #{node_id}"
            message = (
                f"Node '{said}' has no class_type."
                " The workflow may be corrupted or a custom node is missing."
            )
            return _missing_class(node_id, None, title, message)
        class_type = node["class_type"]
        if class_type not in interfaces.nodes:
            title = _title(node, class_type)
            message = f"Node '{title}' not found. The custom node may not be installed."
            return _missing_class(node_id, class_type, title, message)
    return None


def _title(node: Any, otherwise: Any) -> Any:
    """What the caller named it in ComfyUI's page."""
    meta = node.get("_meta") if isinstance(node, dict) else None
    return meta.get("title", otherwise) if isinstance(meta, dict) else otherwise


def _missing_class(node_id: str, class_type: Any, title: Any, message: str) -> Problem:
    extra = {"node_id": node_id, "class_type": class_type, "node_title": title}
    return Problem("missing_node_type", message, f"Node ID '#{node_id}'", extra)
