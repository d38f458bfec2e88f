import getpass
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.contract.result import JobCost
from pipeline.contract.spend_entry import BODY, SpendEntry
from pipeline.store.base import Always
from pipeline.store.conditional import SafeStore
from tests.pipeline.cli.conftest import Ryla
from tests.support.jobs import a_result


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


def test_a_user_without_a_name_can_stop_jobs(
    ryla: Ryla, store: SafeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a container that runs under a number which its /etc/passwd lacks."""

    def nameless() -> str:
        raise KeyError("getpwuid(): uid not found: 4711")

    monkeypatch.setattr(getpass, "getuser", nameless)
    (stop,) = ryla("stop", "--all", "--json").document["stops"]
    assert stop["by"].startswith(f"{os.getuid()}@")


def test_a_reason_that_is_no_utf_8_is_kept_as_far_as_it_is(ryla: Ryla) -> None:
    (stop,) = ryla("stop", "--all", "--reason", "a\udcffb", "--json").document["stops"]
    assert stop["reason"] == "a?b"
    assert stop["by"]


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


def test_whoever_follows_a_job_is_told_why_it_waits(
    ryla: Ryla, store: SafeStore, write: Callable[..., Path]
) -> None:
    ryla("stop", "--all", "--reason", "the bill")
    answer = ryla("submit", str(write("a.json")), "--wait", "0")
    assert "1 job waits: an operator has stopped all jobs since" in answer.err
    assert answer.err.rstrip().endswith("UTC: the bill")


def test_the_status_shows_what_is_used_of_budgets(
    ryla: Ryla, store: SafeStore, tmp_path: Path
) -> None:
    budgets = tmp_path / "budgets.toml"
    budgets.write_text("[budgets.total]\nusd = 1\n")
    now = store.now()
    ended = a_result(finished_at=now, cost=JobCost(usd=1.5, total_usd=1.5), platform="local")
    store.raw.put(SpendEntry.of(ended).key, BODY, Always())
    shown = ryla("status", RYLA_BUDGETS_FILE=str(budgets)).out
    assert "150%" in shown
    assert "jobs wait" in shown
    [use] = ryla("status", "--json", RYLA_BUDGETS_FILE=str(budgets)).document["budgets"]
    assert (use["budget"], use["used_usd"], use["waited_for"]) == ("total", 1.5, True)
