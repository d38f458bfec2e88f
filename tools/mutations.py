"""The mutants of a module: its text with one condition changed.

A condition that is always true or always false; an `and` or `or` without one of its operands; a
comparison turned round or with its boundary moved; `min` for `max`.
"""

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent

TURNED: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}


@dataclass(frozen=True)
class Mutant:
    module: str
    line: int
    source: str
    """The whole changed module."""
    before: str
    after: str
    """The lines that differ."""

    @property
    def path(self) -> Path:
        return path_of(self.module)

    def __str__(self) -> str:
        was = "\n".join(f"    - {line}" for line in self.before.splitlines())
        is_now = "\n".join(f"    + {line}" for line in self.after.splitlines())
        return f"{self.path.relative_to(ROOT)}:{self.line}\n{was}\n{is_now}"


def path_of(module: str) -> Path:
    return ROOT.joinpath(*module.split(".")).with_suffix(".py")


def mutants_of(module: str) -> list[Mutant]:
    """Each another text, in the order of the module's lines."""
    source = path_of(module).read_text()
    found: dict[str, Mutant] = {}
    for node, new in _changes(ast.parse(source)):
        mutant = _mutant(module, source, node, new)
        found.setdefault(mutant.source, mutant)
    return sorted(found.values(), key=lambda mutant: mutant.line)


def _changes(tree: ast.Module) -> Iterator[tuple[ast.expr, ast.expr]]:
    """Each expression to be changed, with what takes its place."""
    for node in ast.walk(tree):
        for test in _tests(node):
            yield test, ast.Constant(True)
            yield test, ast.Constant(False)
        match node:
            case ast.BoolOp(op, values):
                for dropped in range(len(values)):
                    rest = values[:dropped] + values[dropped + 1 :]
                    yield node, rest[0] if len(rest) == 1 else ast.BoolOp(op, rest)
            case ast.UnaryOp(ast.Not(), operand):
                yield node, operand
            case ast.Compare(left, ops, comparators):
                for i, old in enumerate(ops):
                    for turned in TURNED[type(old)]:
                        changed = [*ops[:i], turned(), *ops[i + 1 :]]
                        yield node, ast.Compare(left, changed, comparators)
            case ast.Call(ast.Name("min" | "max" as name) as function):
                yield function, ast.Name("max" if name == "min" else "min")


def _tests(node: ast.AST) -> Sequence[ast.expr]:
    """The conditions that stand in a node. An assert is no decision, `while True` no condition."""
    match node:
        case ast.If(test) | ast.IfExp(test):
            return [test]
        case ast.While(test) if not isinstance(test, ast.Constant):
            return [test]
        case ast.match_case(guard=guard) if guard is not None:
            return [guard]
        case ast.comprehension(ifs=ifs):
            return ifs
        case ast.BoolOp(values=values):
            return values
    return []


def _mutant(module: str, source: str, node: ast.expr, new: ast.expr) -> Mutant:
    lines = source.splitlines(keepends=True)
    first, last = node.lineno - 1, (node.end_lineno or node.lineno) - 1
    # Columns count UTF-8 bytes.
    head = lines[first].encode()[: node.col_offset].decode()
    tail = lines[last].encode()[node.end_col_offset :].decode()
    # In brackets, so that what was dropped changes no precedence.
    changed = f"{head}({ast.unparse(new)}){tail}"
    return Mutant(
        module,
        node.lineno,
        "".join([*lines[:first], changed, *lines[last + 1 :]]),
        before="".join(lines[first : last + 1]),
        after=changed,
    )
