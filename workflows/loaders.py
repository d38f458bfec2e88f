"""The nodes of a graph that read weights, and the files that each reads."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from workflows.graph import Graph, Link

FILE_INPUTS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "CheckpointLoaderSimple": ("ckpt_name",),
        "CLIPLoader": ("clip_name",),
        "ControlNetLoader": ("control_net_name",),
        "DualCLIPLoader": ("clip_name1", "clip_name2"),
        "InstantIDFaceAnalysis": (),  # its pack is small and named by no input
        "InstantIDModelLoader": ("instantid_file",),
        "UNETLoader": ("unet_name",),
        "VAELoader": ("vae_name",),
    }
)
"""Class of a loader that nothing else need be linked to → its inputs that name files."""


@dataclass(frozen=True)
class Loader:
    """A node that reads weights, whatever its id. Equal loaders share what was read: ComfyUI keeps
    a node's outputs by its class and inputs."""

    class_type: str
    inputs: tuple[tuple[str, Any], ...]
    """By name, in the order of names."""

    @property
    def files(self) -> tuple[str, ...]:
        """Names of weight files, without their folder."""
        given = dict(self.inputs)
        return tuple(str(given[name]) for name in FILE_INPUTS[self.class_type] if name in given)

    def api(self) -> dict[str, Any]:
        """The node in ComfyUI's API format."""
        return {"class_type": self.class_type, "inputs": dict(self.inputs)}


def loaders(graph: Graph) -> tuple[Loader, ...]:
    """In the graph's order, each once; those that are linked to another node are left out."""
    found = (
        Loader(node.class_type, tuple(sorted(node.inputs.items())))
        for node in graph
        if node.class_type in FILE_INPUTS
        and not any(isinstance(value, Link | list) for value in node.inputs.values())
    )
    return tuple(dict.fromkeys(found))
