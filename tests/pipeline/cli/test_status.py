from collections.abc import Callable
from pathlib import Path

from pipeline.store.conditional import SafeStore
from tests.pipeline.cli.conftest import Ryla
from tests.pipeline.cli.leases import running, waiting_again


def test_an_idle_bucket_has_nothing_to_show(ryla: Ryla) -> None:
    document = ryla("status", "--json").document

    assert document["waiting"] == document["jobs"] == []
    assert ryla("status").out.startswith("Waiting: 0")


def test_what_waits_is_counted_by_priority_tenant_and_kind(
    ryla: Ryla, store: SafeStore, write: Callable[..., Path]
) -> None:
    ryla("submit", write("a.json", tenant="acme"), write("b.json", tenant="acme"))
    ryla("submit", write("c.json", priority=9))
    store.create("inbox/What Is This", b"{}")
    document = ryla("status", "--json").document

    assert [(it["priority"], it["tenant"], it["count"]) for it in document["waiting"]] == [
        (9, "default", 1),
        (5, "acme", 2),
    ]
    assert document["strangers"] == 1
    said = ryla("status").out
    assert "Waiting: 3" in said
    assert "name no job: 1" in said


def test_what_is_in_progress_is_shown_with_how_far_it_is(ryla: Ryla, store: SafeStore) -> None:
    for lease in (
        running("busy", 0.5, "KSampler"),
        waiting_again("again", store.now()),
        waiting_again("owing", store.now(), committed=True),
    ):
        store.create(f"leases/{lease.id}.json", lease.body())
    store.create("leases/odd.json", b"?")
    said = ryla("status").out

    assert "In progress: 4" in said
    rows = {line.split()[0]: line for line in said.splitlines() if line}
    assert "running" in rows["busy"]
    assert "50% KSampler" in rows["busy"]
    assert "retry" in rows["again"]
    assert "after comfyui_died" in rows["again"]
    assert "owing" in rows["owing"]
    assert "unreadable" in rows["odd"]


def test_named_jobs_are_shown_wherever_they_are(
    ryla: Ryla, store: SafeStore, write: Callable[..., Path]
) -> None:
    ryla("submit", write("a.json"), write("b.json"))
    ryla("cancel", "b")
    store.create("leases/c.json", running("c", 0.25, None).body())
    jobs = ryla("status", "a", "b", "c", "--json").document["jobs"]

    assert [job["state"] for job in jobs] == ["waiting", "finished", "running"]
    assert jobs[1]["status"] == "cancelled"
    assert jobs[2]["progress"]["fraction"] == 0.25
    assert "cancelled" in ryla("status", "b").out


def test_an_unknown_id_is_an_error_and_the_others_are_shown(
    ryla: Ryla, write: Callable[..., Path]
) -> None:
    ryla("submit", write("a.json"))
    answer = ryla("status", "a", "nobody", "--json")

    assert answer.code == 1
    assert answer.error["code"] == "unknown_job"
    assert [job["state"] for job in answer.document["jobs"]] == ["waiting", "unknown"]


def test_what_cannot_be_an_id_is_said_so(ryla: Ryla) -> None:
    assert ryla("status", "Not An Id", "--json").error["code"] == "invalid_id"
