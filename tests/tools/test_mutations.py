from pathlib import Path

import pytest

from tools import mutations
from tools.mutations import mutants_of

SAMPLE = """\
def decide(a: int, b: bool) -> int:
    while True:
        assert a
        if a < 3 and not b:
            return min(a, 2)
        return [each for each in (1, 2) if each == a][0]
"""


def test_each_condition_is_changed_in_every_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sample.py").write_text(SAMPLE)
    monkeypatch.setattr(mutations, "ROOT", tmp_path)
    assert sorted(each.after.strip() for each in mutants_of("sample")) == sorted(
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


def test_a_mutant_names_its_place_and_shows_the_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sample.py").write_text(SAMPLE)
    monkeypatch.setattr(mutations, "ROOT", tmp_path)
    assert [str(each) for each in mutants_of("sample") if "max" in each.after] == [
        "sample.py:5\n    -             return min(a, 2)\n    +             return (max)(a, 2)"
    ]
