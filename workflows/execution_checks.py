"""What ComfyUI accepts at its door and fails on once it runs the node.

It looks neither at a plain value where only another node's output can go, nor at inputs that a node
does not have. The first fails inside the node, the second when the node is called.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from config.nearest import nearest
from workflows.input_checks import finalized
from workflows.interfaces import (
    AUTOGROW,
    DYNAMIC_COMBO,
    ENUM,
    FILE,
    NUMBERS,
    Interfaces,
    NodeInterface,
)

_WIDGETS = (
    *("AUDIO_RECORD", "BOUNDING_BOX", "BOUNDING_BOXES", "COLOR", "COLORS", "COMFY_MATCHTYPE_V3"),
    *("COMPOSITOR", "CURVE", "FLOATS", "IMAGECOMPARE", "LOAD3D_CAMERA", "LOAD_3D", "WEBCAM"),
)
_TEXTS = ("STRING", "BOOLEAN", "COMBO", "*", ENUM, FILE, AUTOGROW, DYNAMIC_COMBO)
_PLAIN = frozenset((*NUMBERS, *_TEXTS, *_WIDGETS))
"""Types whose values a caller can write down."""

Api = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Failure:
    """One input that ends the run."""

    node: str
    class_type: str
    input: str
    value: Any
    wanted: str | None
    """The type that a link must have; None for an input that the node does not have."""
    hint: str

    @property
    def message(self) -> str:
        where = f"{self.class_type} (node {self.node})"
        if self.wanted is None:
            return f"{where} has no input {self.input!r}, and what is linked to it ends the run"
        shown = json.dumps(self.value)
        shown = shown if len(shown) <= 80 else f"{shown[:79]}…"
        return f"{where}: {self.input} is {shown}, where a link to a {self.wanted} must be"

    @property
    def exception(self) -> Exception:
        """As the node would raise it, without the part that only its own code knows."""
        if self.wanted is None:
            return TypeError(f"got an unexpected keyword argument {self.input!r}")
        kind = type(self.value).__name__
        return AttributeError(f"{kind!r} object has no attribute of a {self.wanted}")


def failures(graph: Api, node_id: str, interfaces: Interfaces) -> Iterator[Failure]:
    """Of one node, whose class must be known."""
    node = graph[node_id]
    inputs, class_type = node["inputs"], node["class_type"]
    known = {
        name: (spec.type, required)
        for name, spec, required in finalized(interfaces.nodes[class_type], inputs)
    }
    for name, value in inputs.items():
        linked = isinstance(value, list)
        if name not in known:
            if linked:
                meant = nearest(name, known)
                hint = f"Did you mean {meant!r}?" if meant else f"It has: {', '.join(known)}."
                yield Failure(node_id, class_type, name, value, None, f"Leave it out. {hint}")
            continue
        kind, required = known[name]
        if linked or kind.split(",")[0] in _PLAIN or (value is None and not required):
            continue
        hint = _link_hint(graph, node_id, kind, interfaces)
        yield Failure(node_id, class_type, name, value, kind, hint)


def _link_hint(graph: Api, node_id: str, kind: str, interfaces: Interfaces) -> str:
    """A link that would do, of this graph if it has one."""
    for other, node in graph.items():
        interface = interfaces.nodes.get(node["class_type"])
        if interface is not None and other != node_id and kind in interface.output:
            link = json.dumps([other, interface.output.index(kind)])
            return f"Write {link}, for the output of node {other}, {interface.name}."
    makers = sorted(
        (each for each in interfaces.nodes.values() if _makes(each, kind)),
        key=lambda each: (each.experimental or each.deprecated, len(each.output), each.name),
    )
    names = ", ".join(each.name for each in makers[:3])
    return f'Write ["<node>", <output>], of a node that gives a {kind}: {names or "none is known"}.'


def _makes(interface: NodeInterface, kind: str) -> bool:
    """Whether it gives this type of its own, not passing on one that it was given."""
    taken = {spec.type for spec in (*interface.required.values(), *interface.optional.values())}
    return kind in interface.output and kind not in taken
