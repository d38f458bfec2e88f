"""The rooms of the house and what they import: `python -m tools.rooms [--json] [--list]`.

A room is a folder of code at the top, or a folder or module right under `pipeline/`. Tests are no
room: they import everything. An arrow is one room that imports another, however often. An arrow
back up is one that has to go so that no circle of rooms is left. Floors are the rooms on the
longest way down, without the arrows back up.

tests/test_architecture.py holds which arrows there may be. These figures are for comparing two
states of the tree, by one and the same count.
"""

import argparse
import ast
import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from graphlib import TopologicalSorter
from itertools import combinations
from pathlib import Path

ROOT = Path(__file__).parent.parent
NO_ROOMS = frozenset({"tests", "examples", "docs", "requirements"})

Arrows = dict[str, set[str]]


@dataclass(frozen=True)
class Module:
    name: str
    """Dotted, as it is imported."""
    path: Path
    """Relative to the root."""
    imports: frozenset[str]
    """Modules of ours that it names in an import, wherever in its text."""


@dataclass(frozen=True)
class Figures:
    rooms: int
    floors: int
    arrows: int
    back_up: int
    circles: tuple[tuple[str, ...], ...]
    """Rooms, or modules of one room, that import each other, each group in order."""


def modules(root: Path = ROOT) -> list[Module]:
    """Every module of the product and what it imports of the others."""
    paths = {_dotted(path): path for path in _sources(root)}
    return [
        Module(name, path, frozenset(_imported(name, root / path, paths)))
        for name, path in sorted(paths.items())
    ]


def room_of(name: str) -> str:
    """The room of a module by its dotted name: `pipeline/queue`, `config`."""
    parts = name.split(".")
    if parts[0] == "ryla_client":
        return "clients"
    return "/".join(parts[:2]) if parts[0] == "pipeline" and len(parts) > 1 else parts[0]


def arrows(found: Iterable[Module]) -> Arrows:
    """Room → the rooms it imports."""
    rooms: Arrows = {}
    for module in found:
        here = room_of(module.name)
        there = {room_of(each) for each in module.imports}
        rooms.setdefault(here, set()).update(there - {here})
    return rooms


def circles(graph: Mapping[str, Iterable[str]]) -> list[tuple[str, ...]]:
    """Groups of nodes that reach each other, each sorted (Tarjan's algorithm)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[tuple[str, ...]] = []

    def visit(node: str) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        for other in graph.get(node, ()):
            if other not in index:
                visit(other)
            if other in stack:
                low[node] = min(low[node], low[other])
        if low[node] == index[node]:
            group = stack[stack.index(node) :]
            del stack[stack.index(node) :]
            if len(group) > 1:
                found.append(tuple(sorted(group)))

    for node in sorted(graph):
        if node not in index:
            visit(node)
    return sorted(found)


def figures(found: list[Module]) -> Figures:
    rooms = arrows(found)
    in_modules = [
        group
        for group in circles({module.name: module.imports for module in found})
        if len({room_of(name) for name in group}) == 1
    ]
    back_up, floors = _downwards(rooms)
    return Figures(
        rooms=len(rooms),
        floors=floors,
        arrows=sum(map(len, rooms.values())),
        back_up=back_up,
        circles=(*circles(rooms), *in_modules),
    )


def _sources(root: Path) -> Iterator[Path]:
    for top in sorted(root.iterdir()):
        if top.is_dir() and not top.name.startswith(".") and top.name not in NO_ROOMS:
            for path in sorted(top.rglob("*.py")):
                if "node_modules" not in path.parts:
                    yield path.relative_to(root)


def _dotted(path: Path) -> str:
    parts = path.with_suffix("").parts
    parts = parts[1:] if parts[:2] == ("clients", "ryla_client") else parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _imported(name: str, path: Path, known: Mapping[str, Path]) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            named = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(node, name, path)
            members = [f"{base}.{alias.name}" for alias in node.names]
            named = [each if each in known else base for each in members]
        else:
            continue
        yield from (each for each in named if each in known and each != name)


def _absolute(node: ast.ImportFrom, name: str, path: Path) -> str:
    if not node.level:
        return node.module or ""
    here = name.split(".")
    package = here if path.name == "__init__.py" else here[:-1]
    above = package[: len(package) - node.level + 1]
    return ".".join([*above, node.module] if node.module else above)


def _floors(down: Arrows) -> int:
    height: dict[str, int] = {}
    for room in TopologicalSorter(down).static_order():
        height[room] = 1 + max((height[each] for each in down.get(room, ())), default=0)
    return max(height.values(), default=0)


def _downwards(rooms: Arrows) -> tuple[int, int]:
    """How few arrows have to go so that no circle is left, and the floors without them: of all
    choices of so few, the most."""
    inside = [
        (room, each)
        for group in circles(rooms)
        for room in group
        for each in rooms[room] & {*group}
    ]
    for few in range(len(inside) + 1):
        floors = [
            _floors(
                {
                    room: {*others} - {b for a, b in gone if a == room}
                    for room, others in rooms.items()
                }
            )
            for gone in combinations(sorted(inside), few)
            if not circles(
                {a: {b for x, b in inside if x == a and (x, b) not in gone} for a, _ in inside}
            )
        ]
        if floors:
            return few, max(floors)
    raise AssertionError("without any arrow there is no circle")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="the figures as a document")
    parser.add_argument("--list", action="store_true", help="each room and the rooms it imports")
    options = parser.parse_args()
    found = modules()
    told = figures(found)
    if options.json:
        sys.stdout.write(json.dumps(asdict(told), indent=1) + "\n")
        return
    print(
        f"{told.rooms} rooms, {told.floors} floors, {told.arrows} arrows,"
        f" {told.back_up} of them back up, {len(told.circles)} circles"
    )
    for circle in told.circles:
        print("circle:", " ⇄ ".join(circle))
    if options.list:
        for room, others in sorted(arrows(found).items()):
            print(f"{room}: {', '.join(sorted(others)) or 'nothing'}")


if __name__ == "__main__":
    main()
