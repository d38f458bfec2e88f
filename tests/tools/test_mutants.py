import pytest

from tools import mutants
from tools.mutants import EQUIVALENT, TESTS, chosen
from tools.mutations import ROOT, mutants_of


@pytest.mark.thorough
def test_every_module_of_the_queue_is_changed() -> None:
    modules = {f"pipeline.queue.{each.stem}" for each in (ROOT / "pipeline/queue").glob("*.py")}

    assert modules - {"pipeline.queue.__init__"} <= TESTS.keys()


@pytest.mark.thorough
def test_the_tests_that_must_notice_exist() -> None:
    assert [test for tests in TESTS.values() for test in tests if not (ROOT / test).is_file()] == []


@pytest.mark.thorough
def test_what_is_left_out_is_still_there_to_be_left_out() -> None:
    lines = {(module, each.after.strip()) for module in TESTS for each in mutants_of(module)}

    assert len(lines) > 100
    assert EQUIVALENT.keys() <= lines


@pytest.mark.thorough
def test_what_is_known_to_change_nothing_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    (first, *rest) = chosen(["system.backoff"])
    monkeypatch.setattr(
        mutants, "EQUIVALENT", {(first.module, first.after.strip()): "for the test"}
    )

    assert chosen(["system.backoff"]) == rest
