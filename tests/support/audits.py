"""An audit of a bucket in memory, and what is put into that bucket past every protocol."""

import json
from typing import Any

from pipeline.contract.keys import cell_key, lease_key, manifest_key, result_key
from pipeline.contract.lease import Phase
from pipeline.contract.tombstone import (
    MANIFEST,
    begun_tombstone,
    ended_tombstone,
    tombstone_body,
)
from pipeline.jobs.audit.bucket_audit import Audit
from pipeline.jobs.audit.faults import FaultKind
from pipeline.queue.expiry import Lifetimes
from pipeline.store.base import Always
from tests.support.jobs import a_lease
from tests.support.manifests import body
from tests.support.pipeline_fixture import PipelineFixture

ENDED = ("good", "refused", "twice", "retried")


PICTURE = "jobs/good/out/a1/image-0.png"
"""The output of the job `good`."""


def audited(pipeline: PipelineFixture, **options: Any) -> Audit:
    audit = Audit(pipeline.safe(), Lifetimes.of(pipeline.settings), readers=2, **options)
    audit.run()
    return audit


def found(audit: Audit) -> list[tuple[FaultKind, str]]:
    return [(fault.kind, fault.key) for fault in audit.tally.named]


def put(pipeline: PipelineFixture, key: str, content: bytes) -> None:
    pipeline.raw._store.put(key, content, Always())


def put_lease(pipeline: PipelineFixture, id: str, **fields: Any) -> None:
    lease = a_lease(id=id, entry=f"inbox/{id}.json", **fields)
    put(pipeline, lease_key(id), lease.body())


def changed_result(pipeline: PipelineFixture, id: str, **changes: Any) -> None:
    document = json.loads(pipeline.result(id).body()) | changes
    put(pipeline, result_key(id), json.dumps(document).encode())


def changed_event(pipeline: PipelineFixture, number: int, **changes: Any) -> None:
    events = json.loads(pipeline.result("good").body())["events"]
    changed_result(pipeline, "good", events=[*events, {**events[number], **changes}])


def lose_the_result(pipeline: PipelineFixture) -> None:
    pipeline.raw._store.delete(result_key("good"))


def lose_the_manifest(pipeline: PipelineFixture) -> None:
    pipeline.raw._store.delete(manifest_key("good"))


def change_the_manifest(pipeline: PipelineFixture) -> None:
    put(pipeline, manifest_key("good"), body("another"))


def break_the_result(pipeline: PipelineFixture) -> None:
    put(pipeline, result_key("good"), b"{")


def copy_another_result(pipeline: PipelineFixture) -> None:
    put(pipeline, result_key("good"), pipeline.result("twice").body())


def lose_the_output(pipeline: PipelineFixture) -> None:
    pipeline.raw._store.delete("jobs/good/out/a1/image-0.png")


def cut_the_output(pipeline: PipelineFixture) -> None:
    put(pipeline, "jobs/good/out/a1/image-0.png", b"short")


def change_the_output(pipeline: PipelineFixture) -> None:
    put(pipeline, "jobs/good/out/a1/image-0.png", bytes(pipeline.result("good").outputs[0].bytes))


def stop_the_dispatchers(pipeline: PipelineFixture) -> None:
    put(pipeline, manifest_key("stuck"), body())
    put_lease(pipeline, "stuck", phase=Phase.SPAWNED, ttl_s=900)
    pipeline.pass_time(900 + 61)


def claim_nothing(pipeline: PipelineFixture) -> None:
    put_lease(pipeline, "ghost", phase=Phase.CLAIMED, ttl_s=900)
    pipeline.pass_time(900 + 61)


def leave_the_lease(pipeline: PipelineFixture) -> None:
    put_lease(pipeline, "good", phase=Phase.RETRY, committed=True, events_out=True)


def overwrite_the_lease(pipeline: PipelineFixture) -> None:
    put(pipeline, lease_key("good"), b"hello")


def copy_another_lease(pipeline: PipelineFixture) -> None:
    put(pipeline, lease_key("good"), a_lease(id="twice", entry="inbox/twice.json").body())


def put_a_note_among_leases(pipeline: PipelineFixture) -> None:
    put(pipeline, "leases/README.txt", b"hello")


def leave_the_entry(pipeline: PipelineFixture) -> None:
    pipeline.submit("good")
    pipeline.pass_time(900 + 61)
    pipeline.submit("later")


def put_a_note_in_the_inbox(pipeline: PipelineFixture) -> None:
    pipeline.submit("", b"hello", key="inbox/NOTE.txt")
    pipeline.pass_time(900 + 61)


def tell_another_event_under_its_uuid(pipeline: PipelineFixture) -> None:
    changed_event(pipeline, 0, timestamp="2026-01-01T00:00:00.000+00:00")


def tell_it_twice(pipeline: PipelineFixture) -> None:
    changed_event(pipeline, 1, uuid="11111111-1111-5111-8111-111111111111")


def tell_it_twice_in_the_lease(pipeline: PipelineFixture) -> None:
    first = pipeline.result("good").events[0].model_copy(update={"uuid": "another"})
    put_lease(pipeline, "good", phase=Phase.RETRY, committed=True, events=(first,))


def take_the_uuid_of_another_job(pipeline: PipelineFixture) -> None:
    other = json.loads(pipeline.result("twice").body())["events"]
    own = json.loads(pipeline.result("good").body())["events"]
    changed_result(pipeline, "good", events=[own[0], {**own[1], "uuid": other[1]["uuid"]}])


def lose_a_rejected_entry(pipeline: PipelineFixture) -> None:
    put(pipeline, "outbox/NOTE-txt.0123456789ab.json", b"{}")
    put(pipeline, "rejected/NOTE-txt.0123456789ab.json.old", b"{}")


def begin_to_forget(pipeline: PipelineFixture) -> None:
    """And go no further."""
    result = pipeline.result("good")
    begun = begun_tombstone(
        "good",
        result,
        tenant=None,
        nonce="n",
        now=pipeline.now,
        quiet_at=pipeline.now,
        left=(),
    )
    put(pipeline, result_key("good"), tombstone_body(begun))


def write_what_is_forgotten(pipeline: PipelineFixture) -> None:
    begin_to_forget(pipeline)
    ended = ended_tombstone(pipeline.result("good"), pipeline.now)
    put(pipeline, result_key("good"), tombstone_body(ended))
    put(pipeline, manifest_key("good"), MANIFEST)
    for key in pipeline.keys("jobs/good/out/"):
        if key != PICTURE:
            pipeline.raw._store.delete(key)


def lose_the_plan(pipeline: PipelineFixture) -> None:
    """Of a character sheet: a record of a step stands, and no plan."""
    put(pipeline, cell_key("good", "01-front.t1"), b"{}")
