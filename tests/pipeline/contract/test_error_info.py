import inspect

import pytest

from config import errors
from config.errors import FaceModelsMissing, InvalidField, NodeFailed, OverBudget, RylaError
from pipeline.api import request_errors
from pipeline.contract.error_info import ErrorInfo, error_info, full_info, unforeseen

TREE = [
    each
    for module in (errors, request_errors)
    for _, each in inspect.getmembers(module, inspect.isclass)
    if issubclass(each, RylaError) and each.__module__ == module.__name__ and each is not RylaError
]


@pytest.mark.parametrize("error", TREE, ids=lambda error: error.__name__)
def test_each_error_has_a_code_a_status_and_a_class_of_its_own(error: type[RylaError]) -> None:
    assert error.code.replace("_", "").isalnum()
    assert error.code.islower()
    assert 400 <= error.http_status < 600
    assert [other for other in TREE if other.code == error.code] == [error]


def test_an_error_tells_all_it_knows() -> None:
    error = OverBudget("too dear", field="max_cost_usd", value=0.5, hint="Pay more.")
    assert error_info(error) == ErrorInfo(
        code="over_budget",
        message="too dear",
        field="max_cost_usd",
        value="0.5",
        hint="Pay more.",
        retryable=False,
    )


def test_long_texts_are_cut() -> None:
    log = tuple(f"{n} " + "x" * 900 for n in range(50))
    info = error_info(InvalidField("m" * 5000, value="v" * 5000))
    assert (len(info.message), len(info.value or "")) == (2000, 200)
    tail = error_info(NodeFailed("", log_tail=log)).log_tail
    assert len(tail) == 20
    assert tail[-1].startswith("49 ")
    assert max(map(len, tail)) == 500


def test_a_false_value_is_a_value() -> None:
    assert error_info(InvalidField("", value=0)).value == "0"
    assert error_info(InvalidField("", value=None)).value is None


def test_what_nobody_foresaw_is_an_internal_error_that_may_pass() -> None:
    error = unforeseen(KeyError("seed"))
    assert (error.code, error.retryable) == ("internal", True)
    assert "KeyError: 'seed'" in error.message


def test_a_tenant_is_told_no_folder_no_address_and_no_librarys_text() -> None:
    error = FaceModelsMissing("no *.onnx in /root/models/antelopev2", hint="See /opt/ryla/a.md.")
    assert error_info(error).message == "no *.onnx in antelopev2"
    assert error_info(error).hint == "See a.md."
    told = error_info(unforeseen(OSError("/srv/hidden <object at 0x7f2a1c0b5e40>")))
    assert told.message == "something unforeseen went wrong: OSError"


def test_whoever_runs_the_command_is_told_all() -> None:
    error = FaceModelsMissing("no *.onnx in /root/models/antelopev2")
    assert full_info(error).message == "no *.onnx in /root/models/antelopev2"
