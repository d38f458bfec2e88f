from pathlib import Path

import pytest

from tools import mutants
from tools.mutants import EQUIVALENT, ROOT, TESTS, mutants_of

SAMPLE = """\
def decide(a: int, b: bool) -> int:
    while True:
        assert a
        if a < 3 and not b:
            return min(a, 2)
        return [each for each in (1, 2) if each == a][0]
"""


def changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    (tmp_path / "sample.py").write_text(SAMPLE)
    monkeypatch.setattr(mutants, "ROOT", tmp_path)
    return [each.after.strip() for each in mutants_of("sample")]


def test_each_condition_is_changed_in_every_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert sorted(changed(tmp_path, monkeypatch)) == sorted(
        [
            *("if (True):", "if (False):", "if (a < 3):", "if (not b):", "if a < 3 and (b):"),
            *("if (True) and not b:", "if (False) and not b:"),
            *("if a < 3 and (True):", "if a < 3 and (False):"),
            *("if (a <= 3) and not b:", "if (a >= 3) and not b:"),
            "return (max)(a, 2)",
            *(
                f"return [each for each in (1, 2) if ({test})][0]"
                for test in ("True", "False", "each != a")
            ),
        ]
    )


def test_what_is_known_to_change_nothing_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mutants, "EQUIVALENT", {("sample", "return (max)(a, 2)"): "for the test"})

    assert "return (max)(a, 2)" not in changed(tmp_path, monkeypatch)


def test_every_module_of_the_queue_is_changed() -> None:
    modules = {f"pipeline.queue.{each.stem}" for each in (ROOT / "pipeline/queue").glob("*.py")}

    assert modules - {"pipeline.queue.__init__"} <= TESTS.keys()


def test_the_tests_that_must_notice_exist() -> None:
    assert [test for tests in TESTS.values() for test in tests if not (ROOT / test).is_file()] == []


def test_what_is_left_out_is_still_there_to_be_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mutants, "EQUIVALENT", {})
    lines = {(module, each.after.strip()) for module in TESTS for each in mutants_of(module)}

    assert len(lines) > 100
    assert EQUIVALENT.keys() <= lines
