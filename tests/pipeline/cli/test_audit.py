from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from pipeline.cli import audit as module
from pipeline.cli import output
from pipeline.store.conditional import SafeStore
from tests.pipeline.cli.conftest import Ryla


@pytest.fixture
def two(ryla: Ryla, write: Callable[..., Path], store: SafeStore) -> None:
    """A job that was cancelled while it waited, with its entry removed as a dispatcher does, and
    one that waits."""
    ryla("submit", write("a.json"), write("b.json"))
    ryla("cancel", "a")
    for entry in store.list("inbox/").entries:
        if entry.key.endswith("a.json"):
            store.delete(entry.key)


@pytest.mark.usefixtures("two")
def test_a_clean_bucket_ends_with_0(ryla: Ryla) -> None:
    answer = ryla("audit", "--json")

    assert answer.code == 0
    assert answer.err == ""
    document = answer.document
    assert (document["clean"], document["faults"], document["named"]) == (True, {}, [])
    assert (document["jobs"], document["results"], document["waiting"]) == (1, {"cancelled": 1}, 1)
    assert document["objects"] == 3
    said = ryla("audit").out
    assert "Results   1: 1 cancelled\nWaiting   1\nLeases    0\n" in said
    assert said.endswith("Faults    0\n")


@pytest.mark.usefixtures("two")
def test_a_fault_ends_with_1_and_is_named(ryla: Ryla, store: SafeStore) -> None:
    store.delete("jobs/a/manifest.json")
    store.create("leases/b.json", b"hello")
    answer = ryla("audit", "--json")

    assert answer.code == 1
    assert not answer.document["clean"]
    assert answer.document["faults"] == {"manifest_missing": 1, "lease_unreadable": 1}
    assert {(each["kind"], each["key"]) for each in answer.document["named"]} == {
        ("manifest_missing", "jobs/a/manifest.json"),
        ("lease_unreadable", "leases/b.json"),
    }
    people = ryla("audit")
    assert people.code == 1
    assert "jobs/a/manifest.json" in people.out

    assert ryla("audit", "--id", "b", "--json").document["faults"] == {"lease_unreadable": 1}
    assert ryla("audit", "--prefix", "a", "--json").document["faults"] == {"manifest_missing": 1}
    assert ryla("audit", "--id", "other").code == 0


@pytest.mark.usefixtures("two")
def test_results_from_before_a_time_are_not_read(ryla: Ryla, store: SafeStore) -> None:
    document = ryla("audit", "--since", "1h", "--json").document

    assert (document["results"], document["passed_over"]) == ({"cancelled": 1}, 0)
    assert document["since"] is not None
    assert ryla("audit", "--since", "tomorrow", "--json").error["field"] == "--since"


def test_more_faults_than_people_read_are_counted(
    ryla: Ryla, store: SafeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SHOWN", 2)
    for n in range(5):
        store.create(f"leases/note-{n}.txt", b"hello")

    assert "and 3 more: 5 lease_unreadable" in ryla("audit").out


def test_what_excludes_each_other_is_refused(ryla: Ryla) -> None:
    assert ryla("audit", "--id", "a", "--prefix", "a").code == 2
    assert ryla("audit", "--id", "No/Id", "--json").error["code"] == "invalid_id"


@pytest.mark.usefixtures("two")
def test_progress_goes_to_a_terminal_s_stderr_and_nowhere_else(
    ryla: Ryla, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ryla("audit").err == ""

    terminal = Console(stderr=True, force_terminal=True, width=80)
    monkeypatch.setattr(output, "err", lambda: terminal)
    assert "objects" in ryla("audit").err
    assert ryla("audit", "--json").err == ""
