"""Which pack a node class is of, and what to do where a ComfyUI lacks it."""

from config.nearest import nearest
from workflows.interfaces import Interfaces, committed
from workflows.node_pack import CLASSES
from workflows.required_nodes import CORE

_CUSTOM = "custom_nodes."


def pack_of(class_type: str, interfaces: Interfaces | None = None) -> str | None:
    """The pack that has a class, CORE for ComfyUI itself, None for a class of no table."""
    node = (interfaces or committed()).nodes.get(class_type)
    if node is None:
        return None
    return node.module.removeprefix(_CUSTOM) if node.module.startswith(_CUSTOM) else CORE


def why_missing(class_type: str, server_version: str | None = None) -> str:
    """What to do about a class that a ComfyUI lacks: the server's fault, or the graph's."""
    known = committed()
    pack = pack_of(class_type, known)
    server = f"ComfyUI {server_version}" if server_version else "this ComfyUI"
    if class_type in CLASSES:
        return (
            f"It is of our own node pack, which {server} lacks: a worker brings it to one that it"
            " starts itself (RYLA_COMFYUI_DIR). Leave step_cache out."
        )
    if pack is None:
        close = nearest(class_type, {name.lower(): name for name in known.nodes})
        meant = next((name for name in known.nodes if name.lower() == close), None)
        said = f" Did you mean {meant}?" if meant else ""
        return (
            f"ComfyUI {known.comfyui_version} has none of that name either: check the graph.{said}"
        )
    if pack == CORE:
        return (
            f"ComfyUI {known.comfyui_version} has it and {server} has not: it is older, or newer"
            " and has dropped it. `ryla comfyui install` takes the version that the graphs fit."
        )
    return (
        f"It is of the node pack {pack}, which {server} lacks or could not import:"
        " `ryla comfyui check` says why, `ryla comfyui install` adds it."
    )
