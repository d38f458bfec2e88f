"""A ComfyUI graph as typed code: nodes are added in order and linked by their outputs."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

GraphApi = dict[str, dict[str, Any]]
"""ComfyUI's API format: node id -> {"class_type", "inputs"}, links as [node id, output]."""


class Link(NamedTuple):
    """One output of one node, as the value of another node's input."""

    node: str
    output: int = 0
    """From 0."""


@dataclass(frozen=True)
class Node:
    id: str
    class_type: str
    inputs: Mapping[str, Any]
    """Name → plain value or Link."""

    def out(self, output: int = 0) -> Link:
        """A link to its output of this number, from 0."""
        return Link(self.id, output)


class Graph:
    """Nodes in the order they were added. Ids are the caller's, or count up from 1."""

    def __init__(self) -> None:
        self._nodes: dict[str, Node] = {}
        self.extra_data: dict[str, Any] = {}
        """Goes to the server beside the graph, where no node sees it."""

    def add(self, class_type: str, /, *, id: str | None = None, **inputs: Any) -> Node:
        """Add a node. Raises ValueError for an id in use or a link to no earlier node."""
        node_id = id if id is not None else str(len(self._nodes) + 1)
        if node_id in self._nodes:
            raise ValueError(f"node id {node_id!r} is used twice")
        for name, value in inputs.items():
            if isinstance(value, Link) and value.node not in self._nodes:
                raise ValueError(f"{class_type}.{name} links to {value.node!r}, which is not there")
        node = self._nodes[node_id] = Node(node_id, class_type, inputs)
        return node

    def __iter__(self) -> Iterator[Node]:
        return iter(self._nodes.values())

    def __len__(self) -> int:
        return len(self._nodes)

    def __getitem__(self, node_id: str) -> Node:
        return self._nodes[node_id]

    def api(self) -> GraphApi:
        """In the form that POST /prompt takes."""
        return {
            node.id: {
                "class_type": node.class_type,
                "inputs": {
                    name: list(value) if isinstance(value, Link) else value
                    for name, value in node.inputs.items()
                },
            }
            for node in self
        }

    def digest(self) -> str:
        """sha256 of what decides the pictures: canonical JSON without any filename_prefix."""
        api = self.api()
        for node in api.values():
            node["inputs"].pop("filename_prefix", None)
        canonical = json.dumps(api, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha256(canonical.encode()).hexdigest()
