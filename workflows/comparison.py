"""What differs between two tables of node interfaces, in words."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, fields, replace

from workflows.interfaces import InputSpec, Interfaces, NodeInterface
from workflows.missing_nodes import pack_of
from workflows.required_nodes import CORE


@dataclass(frozen=True)
class Comparison:
    ours: str
    """ComfyUI version of the committed table."""
    theirs: str
    """Of the other."""
    missing: tuple[str, ...]
    """Classes of ours that the other lacks."""
    changed: Mapping[str, tuple[str, ...]]
    """Class → what is different there."""

    @property
    def same(self) -> bool:
        return not self.missing and not self.changed


def compare(ours: Interfaces, theirs: Interfaces, classes: Collection[str]) -> Comparison:
    """Of these classes; those that our own table lacks are passed over."""
    known = sorted(name for name in classes if name in ours.nodes)
    changed = {
        name: tuple(_differences(ours.nodes[name], theirs.nodes[name]))
        for name in known
        if name in theirs.nodes and ours.nodes[name] != theirs.nodes[name]
    }
    missing = tuple(name for name in known if name not in theirs.nodes)
    return Comparison(ours.comfyui_version, theirs.comfyui_version, missing, changed)


def with_absent_packs(live: Interfaces, ours: Interfaces) -> tuple[Interfaces, tuple[str, ...]]:
    """`live`, and of our table the packs that it lacks altogether; their names."""
    there = {pack_of(name, live) for name in live.nodes}
    absent = {pack_of(name, ours) for name in ours.nodes} - there - {CORE, None}
    kept = {name: node for name, node in ours.nodes.items() if pack_of(name, ours) in absent}
    return replace(live, nodes={**live.nodes, **kept}), tuple(sorted(filter(None, absent)))


def _differences(ours: NodeInterface, theirs: NodeInterface) -> Iterator[str]:
    for group in ("required", "optional"):
        yield from _inputs(group, getattr(ours, group), getattr(theirs, group))
    for each in fields(NodeInterface):
        if each.name not in ("required", "optional"):
            was, is_now = getattr(ours, each.name), getattr(theirs, each.name)
            if was != is_now:
                yield f"{each.name}: {was!r} became {is_now!r}"


def _inputs(
    group: str, ours: Mapping[str, InputSpec], theirs: Mapping[str, InputSpec]
) -> Iterator[str]:
    for name in sorted({*ours, *theirs}):
        if name not in theirs:
            yield f"{group} input {name} is gone"
        elif name not in ours:
            yield f"{group} input {name} is new"
        elif ours[name] != theirs[name]:
            yield from _input(name, ours[name], theirs[name])


def _input(name: str, ours: InputSpec, theirs: InputSpec) -> Iterator[str]:
    for each in fields(InputSpec):
        was, is_now = getattr(ours, each.name), getattr(theirs, each.name)
        if was == is_now:
            continue
        if each.name == "enum":
            lost = [value for value in was if value not in is_now]
            new = [value for value in is_now if value not in was]
            parts = [("lost", lost), ("gained", new)] if lost or new else [("reordered", was)]
            for what, values in parts:
                if values:
                    yield f"{name} {what} {', '.join(map(str, values))}"
        else:
            yield f"{name}.{each.name}: {was!r} became {is_now!r}"
