"""`ryla forget`. What it does is told by tests/pipeline/erasure."""

from collections.abc import Callable
from contextlib import nullcontext
from io import StringIO
from pathlib import Path

import pytest
import typer

from pipeline.cli.forget import require_yes
from pipeline.contract.spend_entry import SPEND
from pipeline.contract.tombstone import MANIFEST
from pipeline.erasure.finder import Plan
from pipeline.erasure.scan import Scan
from pipeline.erasure.scope import ChosenJob
from pipeline.store.conditional import SafeStore, listed
from tests.pipeline.cli.conftest import Ryla


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two lives of a lease are two minutes."""
    monkeypatch.setattr("pipeline.erasure.eraser.LIVES", 0)


def keys(store: SafeStore) -> list[str]:
    """All but those of the books, which stay."""
    return [entry.key for entry in listed(store, "") if not entry.key.startswith(SPEND)]


def test_a_job_is_shown_and_forgotten_and_its_id_stays_used(
    ryla: Ryla, store: SafeStore, write: Callable[..., Path]
) -> None:
    manifest = write("a.json")
    ryla("submit", manifest)
    answer = ryla("forget", "--job", "a", "--yes")

    assert answer.code == 0
    assert "asked for" in answer.out
    assert "waiting entries" in answer.out
    assert "1 job forgotten, " in answer.out
    assert keys(store) == ["jobs/a/manifest.json", "jobs/a/result.json"]
    assert ryla("audit").code == 0
    assert "Nothing is found" in ryla("forget", "--job", "a", "--yes").out
    assert "forgotten" in ryla("results", "a").out
    assert ryla("status", "a", "--json").document
    again = ryla("submit", manifest, "--json")
    assert again.code == 1
    assert again.error["code"] == "id_conflict"
    assert "forgotten" in again.error["message"]
    assert ryla("cancel", "a", "--json").error["code"] == "already_finished"


def test_a_dry_run_names_every_object_and_deletes_none(
    ryla: Ryla, store: SafeStore, write: Callable[..., Path]
) -> None:
    ryla("submit", write("a.json", tenant="acme", metadata={"subject": "ann"}))
    before = keys(store)
    asked = ("forget", "--tenant", "acme", "--subject", "ann", "--dry-run")
    told = ryla(*asked, "--json").document

    assert told["jobs"] == [{"id": "a", "why": "shows ann"}]
    assert [each["group"] for each in told["objects"]] == ["waiting entries"]
    assert told["seen"] == {"objects": 1, "manifests": 1}
    assert "shows ann" in ryla(*asked).out
    assert keys(store) == before


def test_where_nobody_can_be_asked_nothing_is_deleted(
    ryla: Ryla, store: SafeStore, write: Callable[..., Path]
) -> None:
    ryla("submit", write("a.json"))
    before = keys(store)
    answer = ryla("forget", "--job", "a")
    assert (answer.code, keys(store)) == (2, before)
    assert "--yes" in answer.err


def test_for_programs_it_answers_with_what_was_done(
    ryla: Ryla, store: SafeStore, write: Callable[..., Path]
) -> None:
    ryla("submit", write("a.json"))
    told = ryla("forget", "--job", "a", "--yes", "--json").document
    assert told["jobs"] == [{"id": "a", "why": "asked for"}]
    assert told["deleted"] >= 1
    manifest = store.get("jobs/a/manifest.json")
    assert manifest is not None
    assert manifest.body == MANIFEST


def test_a_subject_that_nobody_names_is_no_error(ryla: Ryla) -> None:
    answer = ryla("forget", "--tenant", "acme", "--subject", "ann", "--yes")
    assert answer.code == 0
    assert "Nothing is found" in answer.out


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("--job", "a", "--subject", "ann", "--tenant", "acme"),
        ("--subject", "ann"),
        ("--expired", "--tenant", "acme"),
        ("--older-than", "90d", "--expired"),
    ],
)
def test_what_it_is_asked_for_must_be_one_thing(ryla: Ryla, words: tuple[str, ...]) -> None:
    assert ryla("forget", *words, "--yes").code == 2


def test_without_a_setting_nothing_expires(ryla: Ryla) -> None:
    answer = ryla("forget", "--expired", "--yes", "--json")
    assert (answer.code, answer.error["field"]) == (1, "RYLA_RETENTION_DAYS")
    assert ryla("forget", "--expired", "--yes", RYLA_RETENTION_DAYS="30").code == 0


def test_an_age_that_is_none_is_named_by_its_option(ryla: Ryla) -> None:
    error = ryla("forget", "--older-than", "90x", "--yes", "--json").error
    assert (error["field"], error["value"]) == ("--older-than", "90x")


def test_a_job_that_is_not_there_is_an_error(ryla: Ryla) -> None:
    assert ryla("forget", "--job", "none", "--yes", "--json").error["code"] == "unknown_job"


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("word", ["y", "n"])
def test_a_person_at_a_terminal_is_asked(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, word: str
) -> None:
    plan = Plan([ChosenJob("a", "asked for")], [], [], [], Scan({}, frozenset(), 0, 0))
    monkeypatch.setattr("sys.stdin", Terminal(f"{word}\n"))
    with nullcontext() if word == "y" else pytest.raises(typer.Abort):
        require_yes(plan, yes=False)

    assert "Forget 1 job for good?" in capsys.readouterr().err
