import json
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

from tools import mutations
from tools.mutant_runs import load
from tools.mutations import ROOT, mutants_of

SAMPLE = """\
from functools import cache

class Judge:
    limit = 3 if True else 4

    @property
    def strict(self):
        return self.limit > 3

@cache
def alike(a, b):
    return a == b

def those_over(limit):
    def over(number):
        return number > limit
    return [number for number in range(5) if over(number)]
"""


@pytest.fixture
def sample(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    (tmp_path / "sample_of_conditions.py").write_text(SAMPLE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(mutations, "ROOT", tmp_path)
    monkeypatch.delitem(sys.modules, "sample_of_conditions", raising=False)
    return import_module("sample_of_conditions")


def become(sample: ModuleType, line: str) -> None:
    (mutant,) = [each for each in mutants_of(sample.__name__) if each.after.strip() == line]
    load(mutant)


@pytest.mark.parametrize(
    ("line", "was", "now", "call"),
    [
        ("return (self.limit >= 3)", False, True, lambda sample: sample.Judge().strict),
        ("return (a != b)", True, False, lambda sample: sample.alike(1, 1)),
        (
            "return (number >= limit)",
            [3, 4],
            [2, 3, 4],
            lambda sample: sample.those_over(2),
        ),
        (
            "return [number for number in range(5) if (True)]",
            [3, 4],
            [0, 1, 2, 3, 4],
            lambda sample: sample.those_over(2),
        ),
    ],
    ids=["property", "decorated", "inner function", "comprehension"],
)
def test_functions_that_are_loaded_become_the_mutants(
    sample: ModuleType, line: str, was: object, now: object, call: Callable[[ModuleType], object]
) -> None:
    assert call(sample) == was
    if line == "return (a != b)":
        sample.alike.cache_clear()
    become(sample, line)
    assert call(sample) == now


def test_who_imported_a_function_by_name_has_the_mutant_too(sample: ModuleType) -> None:
    those_over = sample.those_over
    become(sample, "return (number <= limit)")
    assert those_over(2) == [0, 1, 2]


def test_what_is_done_at_import_stays_so_that_its_mutants_survive(sample: ModuleType) -> None:
    become(sample, "limit = 3 if (False) else 4")
    assert sample.Judge.limit == 3


def test_a_module_that_was_loaded_from_another_text_is_not_taken_for_changed(
    sample: ModuleType, tmp_path: Path
) -> None:
    (tmp_path / "sample_of_conditions.py").write_text("\n" + SAMPLE)
    with pytest.raises(LookupError):
        become(sample, "return (a != b)")


RUNS = """
import json, sys
from tools.mutant_runs import Runs
from tools.mutations import mutants_of
module, *files = sys.argv[1:]
runs = Runs(mutants_of(module), {module: files}, at_once=2)
runs.run()
print(json.dumps([len(runs.mutants), len(runs.survivors), runs.failing]))
"""


@pytest.mark.thorough
@pytest.mark.parametrize(("tests", "survivors"), [("test_bounds.py", 0), ("test_spawn.py", 18)])
def test_a_mutant_survives_where_no_test_fails(tests: str, survivors: int) -> None:
    arguments = ["pipeline.queue.bounds", f"tests/pipeline/queue/{tests}"]
    ran = subprocess.run(
        [sys.executable, "-c", RUNS, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(ran.stdout.splitlines()[-1]) == [18, survivors, []]
