"""The demo: example manifests go through a whole local pipeline, and what came of them is checked.

<out>/jobs/...        the bucket's jobs/ tree
<out>/batches/...     its batches/ tree
<out>/events.jsonl    each event once
<out>/report.html     all of it on one page
<out>/batch.html      the page of the batch, for review
<out>/demo.log
"""

import shutil
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from config.errors import InvalidInput
from config.settings import Settings, changed
from events.file_sink import read_events
from events.stored_event import StoredEvent
from pipeline.contract.keys import (
    BATCHES,
    INBOX,
    JOBS,
    LEASES,
    REJECTED,
    attempt_folder,
    parse_inbox_key,
    result_key,
)
from pipeline.contract.result import Result, Status
from pipeline.jobs.follow import Follower
from pipeline.jobs.status import JobView
from pipeline.local.demo.batch import PAGE, BatchRun, DemoBatch, look_at_batch, send_batch
from pipeline.local.demo.face import add_demo_people, with_faces_expected
from pipeline.local.demo.lora import add_demo_lora
from pipeline.local.demo.manifests import Example
from pipeline.local.stack import LocalStack
from pipeline.models.face_packs import faces_folder
from pipeline.notify.sinks import events_file
from pipeline.runtime import load_runtime
from pipeline.store.conditional import SafeStore, Won, listed

LOOK_SECONDS = 0.2
REST_SECONDS = 10.0
"""In which the second submission is cleared away and the last events go out."""
PATIENCE_SECONDS = 180.0
PATIENCE_WITH_MODELS_SECONDS = 3600.0
"""With a real ComfyUI, which loads weights and samples."""
MARKER = ".ryla-demo"
"""In a folder that this demo made, and may clear."""
MADE = ("jobs", "batches", "state", "events.jsonl", "report.html", PAGE, "demo.log")


@dataclass(frozen=True)
class Resubmission:
    """A finished job's manifest, sent once more."""

    id: str
    accepted: bool
    """Whether the inbox took the second entry."""
    result_before: bytes
    result_after: bytes
    executions: int
    """Attempt folders of the job at the end."""


@dataclass(frozen=True)
class DemoRun:
    """What the bucket and the event file held at the end."""

    out: Path
    examples: Sequence[Example]
    results: Mapping[str, Result]
    """In the order in which they were seen to end."""
    again: Resubmission | None
    left: Sequence[str]
    """Keys still in inbox/ and leases/."""
    rejected: Sequence[str]
    """Keys under rejected/."""
    events: Sequence[StoredEvent]
    deliveries: int
    """Lines that the event file got: an event may be sent more than once, as the same event."""
    seconds: float
    """From the first submission to the last result."""
    files: Mapping[str, int] = field(default_factory=dict)
    """Key → size of all that was copied out of jobs/."""
    batch: BatchRun | None = None
    """None where the manifests had no file of characters beside them."""


def prepare(out: Path) -> None:
    """An empty folder for a demo. Raises InvalidInput for one that holds something else."""
    if out.exists() and any(out.iterdir()) and not (out / MARKER).exists():
        raise InvalidInput(f"{out} is not empty", hint="Name another folder with --out.")
    for name in MADE:
        if (out / name).is_dir():
            shutil.rmtree(out / name)
        else:
            (out / name).unlink(missing_ok=True)
    out.mkdir(parents=True, exist_ok=True)
    (out / MARKER).touch()


def demo_settings(settings: Settings) -> Settings:
    """Quick polls and renewals, so that progress can be seen; events stay in a file."""
    return changed(
        settings,
        local_workers=1,
        dispatch_threads=1,  # jobs reach the worker in the order in which they are admitted
        poll_active_seconds=0.3,
        poll_idle_seconds=1.0,
        first_renew_seconds=0.2,
        renew_seconds=0.3,
        faces_dir=faces_folder(settings),  # those of this machine, not of the demo's own folder
        posthog_api_key=None,
        events_file=None,
    )


def run_demo(
    out: Path,
    examples: Sequence[Example],
    settings: Settings,
    environ: Mapping[str, str],
    on_look: Callable[[Mapping[str, JobView]], None],
    batch: DemoBatch | None = None,
) -> DemoRun:
    """`out` is prepared. Raises a StoreError or InvalidSetting when the stack does not start."""
    state = out / "state"
    alone = list(examples)
    examples = [*alone, *(batch.examples if batch else ())]
    examples = with_views_expected(with_faces_expected(examples, settings), settings)
    with LocalStack(state, demo_settings(settings), environ) as stack:
        add_demo_lora(stack.store, stack.settings, examples)
        add_demo_people(stack.store, examples)
        began = time.monotonic()
        submit(stack.store, alone)
        runtime = load_runtime(stack.settings, "local")
        sent = send_batch(stack.store, runtime, batch) if batch else None
        stack.wakeup.notify()
        follower = Follower(stack.store, [example.id for example in examples])
        results: dict[str, Result] = {}
        again = _follow(stack, follower, examples, results, on_look)
        seconds = time.monotonic() - began
        _await_rest(stack)
        left = [entry.key for prefix in (INBOX, LEASES) for entry in listed(stack.store, prefix)]
        rejected = [entry.key for entry in listed(stack.store, REJECTED)]
        files = copy_out(stack.store, JOBS, out)
        copy_out(stack.store, BATCHES, out)
        made = look_at_batch(stack.store, *sent, out) if sent else None
    file = events_file(stack.settings)
    events = list(read_events(file))
    (out / "events.jsonl").write_text("".join(f"{each.model_dump_json()}\n" for each in events))
    return DemoRun(
        out=out,
        examples=examples,
        results=results,
        again=None if again is None else _looked_at_again(again, out),
        left=left,
        rejected=rejected,
        events=events,
        deliveries=len(file.read_bytes().splitlines()) if file.exists() else 0,
        seconds=seconds,
        files=files,
        batch=made,
    )


def with_views_expected(examples: Sequence[Example], settings: Settings) -> list[Example]:
    """A real ComfyUI draws no view wrong on purpose."""
    if not _is_real(settings):
        return list(examples)
    return [replace(each, retried=(), missing=()) for each in examples]


def submit(store: SafeStore, examples: Iterable[Example]) -> None:
    for example in _in_service_order(examples):
        store.create(example.entry, example.body)


def _in_service_order(examples: Iterable[Example]) -> list[Example]:
    return sorted(examples, key=lambda example: -parse_inbox_key(example.entry).priority)


def copy_out(store: SafeStore, prefix: str, folder: Path) -> dict[str, int]:
    """The tree under a prefix as files. Key → size."""
    sizes = {}
    for entry in listed(store, prefix):
        stored = store.get(entry.key)
        if stored is None:
            continue
        target = folder / entry.key
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(stored.body)
        sizes[entry.key] = stored.size
    return sizes


def _follow(
    stack: LocalStack,
    follower: Follower,
    examples: Sequence[Example],
    results: dict[str, Result],
    on_look: Callable[[Mapping[str, JobView]], None],
) -> Resubmission | None:
    """Until all jobs are finished. The first that succeeds is sent again while others run."""
    real = _is_real(stack.settings)
    until = time.monotonic() + (PATIENCE_WITH_MODELS_SECONDS if real else PATIENCE_SECONDS)
    again: Resubmission | None = None
    # Two that end between the same two looks most likely ended in the order of service.
    served = _in_service_order(examples)
    while not follower.done and time.monotonic() < until:
        stack.check()
        follower.look()
        on_look(follower.views)
        for example in served:
            result = follower.views[example.id].result
            if result is None or example.id in results:
                continue
            results[example.id] = result
            if again is None and result.status is Status.SUCCEEDED:
                again = _resubmit(stack, example)
        if not follower.done:
            time.sleep(LOOK_SECONDS)
    return again


def _is_real(settings: Settings) -> bool:
    return settings.comfyui_url is not None or settings.comfyui_dir is not None


def _resubmit(stack: LocalStack, example: Example) -> Resubmission:
    before = stack.store.get(result_key(example.id))
    outcome = stack.store.create(example.entry, example.body)
    stack.wakeup.notify()
    body = b"" if before is None else before.body
    return Resubmission(example.id, isinstance(outcome, Won), body, b"", 0)


def _looked_at_again(again: Resubmission, out: Path) -> Resubmission:
    """As it stands in what was copied out at the end."""
    attempts = (out / attempt_folder(again.id, 1)).parent
    return Resubmission(
        again.id,
        again.accepted,
        again.result_before,
        (out / result_key(again.id)).read_bytes(),
        len(list(attempts.iterdir())),
    )


def _await_rest(stack: LocalStack) -> None:
    """Until the second submission is cleared away and every event has gone out."""
    until = time.monotonic() + REST_SECONDS
    while time.monotonic() < until:
        stack.check()
        stack.wakeup.notify()
        if not any(stack.store.list(prefix, limit=1).entries for prefix in (INBOX, LEASES)):
            return
        time.sleep(LOOK_SECONDS)
