"""Everybody whom the demo shows is forgotten: no byte of a face is left in its bucket."""

import hashlib
import json
import os
import time
from typing import Any

import pytest

from config.settings import Settings
from pipeline.contract.keys import INPUTS, JOBS, manifest_key, result_key, thumb_key
from pipeline.contract.result import Result, Status
from pipeline.erasure.eraser import Eraser
from pipeline.erasure.scope import Wish
from pipeline.erasure.trace import trace_of
from pipeline.jobs.audit.bucket_audit import Audit
from pipeline.jobs.cancel import Canceller
from pipeline.local.demo.demo import DemoRun, demo_settings
from pipeline.local.stack import LocalStack
from pipeline.notify.sinks import make_sink
from pipeline.queue.expiry import Lifetimes
from pipeline.runtime import load_runtime
from pipeline.store.conditional import SafeStore, listed
from tests.support.commands import ryla
from tests.support.stack import wait_until

pytestmark = pytest.mark.xdist_group("demo")

SHEET, REDO = "rosa-sheet-flux", "rosa-sheet-flux-r2"
LIVES = {
    "RYLA_RUNNING_SECONDS": "2",
    "RYLA_RENEW_SECONDS": "0.3",
    "RYLA_FIRST_RENEW_SECONDS": "0.2",
    "RYLA_EXPIRY_MARGIN_SECONDS": "0",
}
"""Short, as those of the demo's leases are."""


def bodies(store: SafeStore) -> dict[str, bytes]:
    found = {entry.key: store.get(entry.key) for entry in listed(store, "")}
    return {key: stored.body for key, stored in found.items() if stored is not None}


def command(run: DemoRun, *words: str, codes: tuple[int, ...] = (0,)) -> Any:
    """Its JSON."""
    state = str(run.out / "state")
    code, out, err = ryla(
        *words, "--state-dir", state, "--json", cwd=run.out, environ=LIVES, within_s=120
    )
    assert code in codes, err
    return json.loads(out)


def make_what_people_make(run: DemoRun, stack: LocalStack) -> None:
    """A review, a redo of what it rejects, datasets, and the page of the batch."""
    store = stack.store
    command(run, "sheets", "review", SHEET, "--reject", "1")
    assert command(run, "sheets", "redo", SHEET, "--rejected")["id"] == REDO
    stack.wakeup.notify()
    assert wait_until(lambda: store.get(result_key(REDO)), 90)
    assert run.batch is not None
    for name in (SHEET, REDO):
        command(run, "sheets", "export", name, codes=(0, 3))
    assert [*listed(store, "exports/")]
    assert [*listed(store, "reviews/")]


def test_no_byte_of_a_face_is_left_of_all_that_the_demo_wrote(demo_run: DemoRun) -> None:
    traces = {each.id: trace_of(each.id, each.body) for each in demo_run.examples}
    shown = [id for id, trace in traces.items() if trace.bears]
    assert len(shown) > 6
    with LocalStack(demo_run.out / "state", demo_settings(Settings()), os.environ) as stack:
        store, settings = (
            stack.store,
            stack.settings.model_copy(
                update={"running_seconds": 1.0, "expiry_margin_seconds": 0.0}
            ),
        )
        make_what_people_make(demo_run, stack)
        before = bodies(store)
        faces = {
            body
            for key, body in before.items()
            if key.startswith((INPUTS, *(f"{JOBS}{id}/out/" for id in [*shown, REDO])))
            and body.startswith((b"\x89PNG", b"\xff\xd8"))
        }
        ends = [Result.parse(before[result_key(id)]) for id in shown]
        pictures = [output for end in ends if end is not None for output in end.outputs]
        for picture in pictures[:3]:
            store.create(thumb_key(picture.sha256), b"small", "image/webp")
        assert len(faces) > 10

        told = command(demo_run, "forget", "--tenant", "atelier", "--subject", "Rosa", "--yes")
        assert {SHEET, REDO, "rosa-sheet-z-image"} <= {job["id"] for job in told["jobs"]}
        canceller = Canceller(store, load_runtime(settings, "local"), make_sink(settings), "forget")
        eraser = Eraser(store, settings, canceller, time.sleep)
        for id in shown:
            eraser.erase(Wish(job=id), loras=True)

        after = bodies(store)
        names = [hashlib.sha256(face).hexdigest().encode() for face in faces]
        signs = (*faces, *names, b"embedding")
        assert [key for key, body in after.items() if any(sign in body for sign in signs)] == []
        assert not [key for key in after if key.startswith((INPUTS, "thumbs/", "exports/"))]
        assert not [key for key in after if key.startswith(("reviews/", "intake/", "leases/"))]
        left = {key for key in after if key.startswith(JOBS) and key.split("/")[1] in shown}
        assert left == {key for id in shown for key in (manifest_key(id), result_key(id))}
        other = [id for id in demo_run.results if id not in shown]
        assert {
            key: body for key, body in before.items() if key.split("/")[1] in other
        }.items() <= after.items()
        audit = Audit(store, Lifetimes.of(settings), content=True)
        audit.run()
        assert audit.tally.named == []
        assert audit.tally.results[Status.FORGOTTEN] == len(shown) + 1
