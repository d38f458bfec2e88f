"""What ComfyUI makes of the body of POST /prompt before it looks at any input. Pure."""

import uuid
from typing import Any

from workflows.interfaces import Interfaces
from workflows.validation_result import Problem

INVALID_ID = Problem(
    "invalid_prompt_id",
    "prompt_id must be a valid UUID",
    "prompt_id must be a UUID string in canonical lowercase hyphenated form;"
    " omit it to let the server generate one",
)


def spoils(graph: Any, interfaces: Interfaces) -> bool:
    """Whether ComfyUI breaks on it before it has checked a single input."""
    if not isinstance(graph, dict) or any(map(_is_unreadable, graph.values())):
        return True
    for node in graph.values():
        known = isinstance(node, dict) and node.get("class_type") in interfaces.nodes
        if not known:  # it is refused by the title that the caller gave it
            return not isinstance(node, dict) or not isinstance(node.get("_meta", {}), dict)
    return False


def _is_unreadable(node: Any) -> bool:
    if not isinstance(node, dict):
        return not isinstance(node, list | str)
    if "class_type" not in node:
        return False
    return isinstance(node["class_type"], dict | list) or not isinstance(
        node.get("inputs", {}), dict
    )


def is_canonical(prompt_id: Any) -> bool:
    """Whether it is a UUID in lower case with hyphens."""
    if not isinstance(prompt_id, str):
        return False
    try:
        return str(uuid.UUID(prompt_id)) == prompt_id
    except ValueError:
        return False
