from collections.abc import Callable
from pathlib import Path

from pipeline.store.conditional import SafeStore
from tests.pipeline.cli.conftest import Ryla
from tests.support.begun_sheets import put_begun_sheet
from tests.support.posthog_receiver import Answer, PostHogReceiver


def test_a_waiting_job_is_cancelled_and_its_events_are_out(
    ryla: Ryla, store: SafeStore, write: Callable[..., Path]
) -> None:
    ryla("submit", write("a.json"))
    answer = ryla("cancel", "a")

    assert (answer.code, answer.out) == (0, "a is cancelled\n")
    assert store.get("jobs/a/result.json") is not None
    assert not store.list("leases/").entries
    assert [line.split()[2] for line in ryla("events").out.splitlines()[1:]] == [
        "modal_flux_dev_generation_requested",
        "modal_flux_dev_generation_cancelled",
    ]


def test_a_cancelled_sheet_brings_its_views_and_its_files(
    ryla: Ryla, store: SafeStore, tmp_path: Path
) -> None:
    put_begun_sheet(store.raw)
    told = ryla("cancel", "sheet", "--json").document["result"]
    brought = ryla("results", "sheet", "--out", tmp_path / "got")

    assert (told["status"], len(told["outputs"])) == ("cancelled", 2)
    assert brought.code == 0
    names = {path.name for path in (tmp_path / "got").rglob("*")}
    assert {file["name"] for file in told["files"]} == {"sheet.json", "contact-sheet.png"}
    assert names > {"sheet.json", "contact-sheet.png"}


def test_events_that_do_not_arrive_are_left_to_a_dispatcher(
    ryla: Ryla, store: SafeStore, write: Callable[..., Path]
) -> None:
    ryla("submit", write("a.json"))
    with PostHogReceiver() as posthog:
        posthog.answer = Answer(status=503)
        answer = ryla(
            "cancel", "a", "--json", RYLA_POSTHOG_API_KEY="phc_x", RYLA_POSTHOG_HOST=posthog.url
        )

    assert answer.code == 0
    assert not answer.document["events_delivered"]
    assert answer.document["result"]["status"] == "cancelled"
    assert [entry.key for entry in store.list("leases/").entries] == ["leases/a.json"]


def test_a_finished_job_and_an_unknown_one_are_errors(
    ryla: Ryla, write: Callable[..., Path]
) -> None:
    ryla("submit", write("a.json"))
    ryla("cancel", "a")
    again, nobody = ryla("cancel", "a", "--json"), ryla("cancel", "nobody", "--json")

    assert (again.code, again.error["code"]) == (1, "already_finished")
    assert (nobody.code, nobody.error["code"]) == (1, "unknown_job")
    assert ryla("cancel", "No Id", "--json").error["code"] == "invalid_id"


def test_its_events_name_what_runs_the_jobs_of_the_bucket(
    ryla: Ryla, write: Callable[..., Path]
) -> None:
    ryla("submit", write("a.json"))
    answer = ryla("cancel", "a", "--json", RYLA_ENGINE="modal")
    events = answer.document["result"]["events"]
    assert {event["properties"]["engine"] for event in events} == {"modal"}
