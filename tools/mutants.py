"""Changes each condition of the queue's decisions, one at a time, and runs the tests against it.

A mutant that no test notices is printed with its place and its diff, and the exit code is 1: then a
test is missing, or the condition can go.

    python -m tools.mutants [MODULE...] [--jobs N]

Mutants: a condition that is always true or always false; an `and` or `or` without one of its
operands; a comparison turned round or with its boundary moved; `min` for `max`. Each runs in a
process of its own, in which an import hook puts the changed module in the place of the real one.
"""

import argparse
import ast
import os
import sys
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType

import pytest

ROOT = Path(__file__).parent.parent
OPTIONS = [
    *("-n", "0", "-x", "-q", "-p", "no:cacheprovider", "-k", "not thorough"),
    # A mutant that never ends is one that was noticed.
    *("--timeout", "30", "--hypothesis-seed", "0"),
]

QUEUE = "tests/pipeline/queue/test_"
NOTIFY = "tests/pipeline/notify/test_"
EXHAUSTIVE = f"{QUEUE}exhaustive.py"
TESTS = {
    "pipeline.queue.admission": [f"{QUEUE}admission.py"],
    "pipeline.queue.backlog": [f"{QUEUE}backlog.py"],
    "pipeline.queue.bounds": [f"{QUEUE}bounds.py"],
    "pipeline.queue.expiry": [f"{QUEUE}expiry.py", EXHAUSTIVE],
    "pipeline.queue.protocol": [f"{QUEUE}claim_steps.py"],
    "pipeline.queue.claim": [f"{QUEUE}claim.py", EXHAUSTIVE],
    "pipeline.queue.claim_steps": [f"{QUEUE}claim_steps.py", EXHAUSTIVE],
    "pipeline.queue.start_steps": [f"{QUEUE}start_steps.py", EXHAUSTIVE],
    "pipeline.queue.cancel_steps": [f"{QUEUE}cancel_steps.py", EXHAUSTIVE],
    "pipeline.queue.spawn": [f"{QUEUE}spawn.py"],
    "pipeline.queue.lease_cache": [f"{QUEUE}lease_cache.py"],
    "pipeline.queue.runner": [f"{QUEUE}runner.py"],
    "pipeline.notify.delivery": [f"{NOTIFY}callbacks.py", f"{NOTIFY}delivery.py"],
    "pipeline.store.conditional": ["tests/pipeline/store/test_conditional.py"],
    "pipeline.dispatcher.preflight": ["tests/pipeline/dispatcher/test_preflight.py"],
    "system.backoff": ["tests/system/test_backoff.py"],
}
"""By module, the tests that must notice, quick ones first: the next file is only imported and run
where the ones before it notice nothing."""

EQUIVALENT: dict[tuple[str, str], str] = {}
"""(module, the changed line) of mutants that behave like the original, with the reason."""

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

    def write(self, file: Path) -> Path:
        file.write_text(self.source)
        return file

    def __str__(self) -> str:
        was = "\n".join(f"    - {line}" for line in self.before.splitlines())
        is_now = "\n".join(f"    + {line}" for line in self.after.splitlines())
        return f"{self.path.relative_to(ROOT)}:{self.line}\n{was}\n{is_now}"


def path_of(module: str) -> Path:
    return ROOT.joinpath(*module.split(".")).with_suffix(".py")


def mutants_of(module: str) -> list[Mutant]:
    source = path_of(module).read_text()
    found: dict[str, Mutant] = {}
    for node, new in _changes(ast.parse(source)):
        mutant = _mutant(module, source, node, new)
        found.setdefault(mutant.source, mutant)
    return [each for each in found.values() if (module, each.after.strip()) not in EQUIVALENT]


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


@dataclass(frozen=True)
class _Hook(MetaPathFinder):
    """Finds one module in another file."""

    module: str
    file: Path

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,  # noqa: ARG002
        target: ModuleType | None = None,  # noqa: ARG002
    ) -> ModuleSpec | None:
        return spec_from_file_location(fullname, self.file) if fullname == self.module else None


def runs(jobs: Sequence[tuple[str, Path]], at_once: int) -> Iterator[bool]:
    """Whether the tests of each (module, file to take for it) pass, in order.

    Children are forked from a process that has imported all that the tests import, and forget
    what may have seen the real module: that takes a third of the time of a fresh interpreter.
    """
    waiting, running, ended = deque(enumerate(jobs)), dict[int, int](), dict[int, bool]()
    for number in range(len(jobs)):
        while number not in ended:
            while waiting and len(running) < at_once:
                started, job = waiting.popleft()
                running[_fork(*job)] = started
            child, status = os.wait()
            ended[running.pop(child)] = status == 0
        yield ended[number]


def _fork(module: str, file: Path) -> int:
    child = os.fork()
    if child == 0:
        ours = ("pipeline.", "system.", "tests.")
        for name in [name for name in sys.modules if name.startswith(ours)]:
            del sys.modules[name]
        sys.meta_path.insert(0, _Hook(module, file))
        with open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), 1)
            os.dup2(nowhere.fileno(), 2)
        os._exit(not all(pytest.main([*OPTIONS, tests]) == 0 for tests in TESTS[module]))
    return child


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Mutation tests of the queue's decisions.")
    parser.add_argument("modules", nargs="*", help=f"of {', '.join(TESTS)}; all if none is named")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args(arguments)
    modules = options.modules or list(TESTS)
    began = time.monotonic()
    os.chdir(ROOT)
    sys.dont_write_bytecode = True
    import_module("tests.pipeline.conftest")
    mutants = [mutant for module in modules for mutant in mutants_of(module)]
    as_they_are = {mutant.module: mutant.path for mutant in mutants}
    for module, passes in zip(as_they_are, runs([*as_they_are.items()], options.jobs), strict=True):
        if not passes:
            print(f"the tests of {module} fail as it is: {' '.join(TESTS[module])}")
            return 1
    survivors = 0
    with TemporaryDirectory() as folder:
        files = [
            (mutant.module, mutant.write(Path(folder) / f"{i}.py"))
            for i, mutant in enumerate(mutants)
        ]
        for number, survived in enumerate(runs(files, options.jobs)):
            if survived:
                survivors += 1
                print(f"SURVIVED {mutants[number]}", flush=True)
            elif sys.stderr.isatty():
                print(f"\r{number + 1}/{len(mutants)}", end="", file=sys.stderr, flush=True)
    print(
        f"{len(mutants)} mutants, {len(mutants) - survivors} noticed, {survivors} survived,"
        f" {len(EQUIVALENT)} left out as equivalent; {time.monotonic() - began:.0f} s"
    )
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
