"""The progress frames of one prompt. Every `progress_state` repeats all nodes touched so far."""

from typing import Any

from handlers.comfyui.standin.connections import Connections


class Progress:
    def __init__(self, hub: Connections, prompt_id: str) -> None:
        self._hub = hub
        self._prompt_id = prompt_id
        self._nodes: dict[str, dict[str, Any]] = {}

    def start(self, node_id: str) -> None:
        self._touch(node_id, 0.0, 1.0, "running")

    def set(self, node_id: str, value: float, maximum: float) -> None:
        self._nodes[node_id] |= {"value": value, "max": maximum}

    def step(self, node_id: str, value: int, maximum: int) -> None:
        self.set(node_id, value, maximum)
        self._send()
        self._hub.send(
            "progress",
            {"value": value, "max": maximum, "prompt_id": self._prompt_id, "node": node_id},
        )

    def finish(self, node_id: str) -> None:
        node = self._nodes[node_id]
        node |= {"state": "finished", "value": node["max"]}
        self._send()

    def finish_cached(self, node_id: str) -> None:
        """A cached output node is reported once, as finished."""
        self._touch(node_id, 1, 1, "finished")

    def _touch(self, node_id: str, value: float, maximum: float, state: str) -> None:
        self._nodes[node_id] = {
            "value": value,
            "max": maximum,
            "state": state,
            "node_id": node_id,
            "prompt_id": self._prompt_id,
            "display_node_id": node_id,
            "parent_node_id": None,
            "real_node_id": node_id,
        }
        self._send()

    def _send(self) -> None:
        nodes = {node_id: dict(node) for node_id, node in self._nodes.items()}
        self._hub.send("progress_state", {"prompt_id": self._prompt_id, "nodes": nodes})
