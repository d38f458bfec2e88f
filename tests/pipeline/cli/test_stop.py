from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.store.base import Always
from pipeline.store.conditional import SafeStore
from tests.pipeline.cli.conftest import Ryla


def test_a_stop_stands_is_shown_and_is_lifted(ryla: Ryla, store: SafeStore) -> None:
    assert ryla("stop").out == "Nothing is stopped\n"
    shown = ryla("stop", "--tenant", "acme", "--reason", "the bill").out
    assert "tenant acme" in shown
    assert "the bill" in shown
    assert [entry.key for entry in store.list("stops/").entries] == ["stops/tenant.acme"]
    (stop,) = ryla("stop", "--json").document["stops"]
    assert (stop["of"], stop["name"], stop["reason"]) == ("tenant", "acme", "the bill")
    assert ryla("stop", "--lift", "--tenant", "acme").out == "Nothing is stopped\n"
    assert not store.list("stops/").entries


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--all", "--tenant", "acme"), "one of"),
        (("--tenant", "A b"), "a tenant matches"),
        (("--kind", "flux-dve"), "a kind is one of"),
        (("--lift",), "say what"),
        (("--reason", "x"), "say what"),
    ],
)
def test_what_names_no_scope_is_wrong_usage(ryla: Ryla, words: tuple[str, ...], said: str) -> None:
    answer = ryla("stop", *words)
    assert answer.code == 2
    assert said in answer.err.replace("\n", " ")


def test_lifting_what_is_not_stopped_is_an_error(ryla: Ryla) -> None:
    answer = ryla("stop", "--lift", "--all")
    assert answer.code == 1
    assert "all jobs is not stopped" in answer.err


def test_the_status_shows_what_is_stopped(
    ryla: Ryla, store: SafeStore, write: Callable[..., Path]
) -> None:
    assert "Stopped" not in ryla("status").out
    store.raw.put("stops/all", b"by hand", Always())
    assert "Stopped: 1" in ryla("status").out
    assert ryla("status", "--json").document["stops"][0]["of"] == "all"


def test_a_stop_of_a_kind_that_there_is_no_more_can_be_lifted(ryla: Ryla, store: SafeStore) -> None:
    store.raw.put("stops/kind.flux-old", b"", Always())
    assert ryla("stop", "--lift", "--kind", "flux-old").code == 0
    assert not store.list("stops/").entries
    assert ryla("stop", "--lift", "--kind", "Flux Old").code == 2
