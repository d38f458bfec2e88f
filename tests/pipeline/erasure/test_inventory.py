"""What goes with jobs beside their folders, and what stays."""

import json
from collections.abc import Iterable

from pipeline.contract.keys import batch_key, outbox_key, rejected_key
from pipeline.erasure.inventory import (
    Group,
    Wanted,
    entries_of,
    lora_objects,
    own_objects,
    told_elsewhere,
)
from pipeline.erasure.scan import Scan
from pipeline.erasure.trace import JobTrace
from tests.support.erasures import manifest, put
from tests.support.pipeline_fixture import PipelineFixture


def wanted(*ids: str, subject: str | None = None, traces: Iterable[JobTrace] = ()) -> Wanted:
    scan = Scan({trace.id: trace for trace in traces}, frozenset(), 0, 0)
    return Wanted(frozenset(ids), scan, frozenset({"acme"}), subject)


def filed(pipeline: PipelineFixture, entry: str, body: bytes = b"{}", number: int = 0) -> str:
    """As the dispatcher files what cannot become a job, with its event still owed."""
    key = rejected_key(entry, f"{number:012}")
    put(pipeline, key, json.dumps({"v": 1, "key": entry, "body": body.decode()}).encode())
    put(pipeline, outbox_key(key))
    return key


def found(pipeline: PipelineFixture, wanted: Wanted) -> set[str]:
    return {holding.key for holding in entries_of(pipeline.store, wanted)}


def test_what_was_filed_of_an_id_goes_with_its_event(pipeline: PipelineFixture) -> None:
    bare = filed(pipeline, "inbox/one.json")
    keyed = filed(pipeline, "inbox/4.acme.flux-dev.one.json")
    filed(pipeline, "inbox/not-one.json")
    filed(pipeline, "inbox/one-more.json")
    assert found(pipeline, wanted("one")) == {
        *(bare, outbox_key(bare)),
        *(keyed, outbox_key(keyed)),
    }


def test_a_long_name_that_was_cut_off_is_looked_into(pipeline: PipelineFixture) -> None:
    id = "x" * 90
    key = filed(pipeline, f"inbox/4.acme.character-sheet.{id}.json")
    assert id not in key
    filed(pipeline, f"inbox/4.acme.character-sheet.{'y' * 90}.json")
    assert found(pipeline, wanted(id)) == {key, outbox_key(key)}


def test_a_subject_is_found_in_what_never_became_a_job(pipeline: PipelineFixture) -> None:
    key = filed(pipeline, "inbox/Ann 1.json", manifest())
    filed(pipeline, "inbox/Ann 2.json", b"no JSON")
    for number, body in enumerate((b"[]", b"[" * 100_000, b'{"body": "\\ud800"}')):
        put(pipeline, f"rejected/stranger-{number}.json", body)
    assert found(pipeline, wanted(subject="Ann")) == {key, outbox_key(key)}
    assert found(pipeline, wanted(subject="Bob")) == set()


def test_every_entry_of_an_id_that_waits_goes(pipeline: PipelineFixture) -> None:
    own = {"inbox/one.json", "inbox/4.acme.flux-dev.one.json"}
    for key in (*own, "inbox/two.json"):
        put(pipeline, key)
    assert found(pipeline, wanted("one")) == own


def test_of_a_job_is_only_what_has_its_whole_id(pipeline: PipelineFixture) -> None:
    own = {
        "jobs/one/out/a1/x.png": Group.OUTPUTS,
        "jobs/one/cells/01-front.json": Group.STEPS,
        "jobs/one/stranger.txt": Group.OUTPUTS,
        "exports/one/0.zip": Group.EXPORTS,
        "reviews/one.json": Group.REVIEWS,
        "leases/one.json": Group.LEASES,
    }
    others = ("jobs/one-r2/plan.json", "reviews/one.json.bak", "leases/one-r2.json", "exports/one")
    for key in (*own, *others):
        put(pipeline, key)
    assert {each.key: each.group for each in own_objects(pipeline.store, "one")} == own


def test_batches_are_named_with_their_rows(pipeline: PipelineFixture) -> None:
    rows = [
        {"row": number, "id": id, "character": "Ann", "manifest_sha256": "0" * 64}
        for number, id in ((2, "one"), (3, "two"))
    ]
    batch = {"name": "autumn", "tenant": "acme", "created_at": "2026-03-01T12:00:00Z", "rows": rows}
    put(pipeline, batch_key("autumn"), json.dumps(batch).encode())
    put(pipeline, batch_key("broken"), b"{")
    [kept] = told_elsewhere(pipeline.store, wanted("two"))
    assert kept.key == "batches/autumn.json"
    assert kept.why.endswith("rows 3")


def test_the_source_of_reused_views_is_named_where_it_stays(pipeline: PipelineFixture) -> None:
    traces = [JobTrace("redo", "acme", reuses="first"), JobTrace("first", "acme")]
    [kept] = told_elsewhere(pipeline.store, wanted("redo", traces=traces))
    assert (kept.key, kept.why) == (
        "jobs/first/",
        "redo reuses views of it, and it is not forgotten",
    )
    assert not [*told_elsewhere(pipeline.store, wanted("redo", "first", traces=traces))]


def test_a_lora_is_of_the_person_by_its_whole_name(pipeline: PipelineFixture) -> None:
    own = [
        "loras/character-ann.json",
        "loras/character-ann.safetensors",
        "loras/flux-character-ann.safetensors",
        "loras/flux-character-ann/job-7.safetensors",
    ]
    for key in (*own, "loras/character-anna.safetensors", "loras/ann.safetensors"):
        put(pipeline, key)
    assert [each.key for each in lora_objects(pipeline.store, "loras/", {"ann"})] == own
    assert lora_objects(pipeline.store, "loras/", set()) == []
