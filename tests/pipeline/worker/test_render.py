from collections.abc import Iterable
from contextlib import suppress
from datetime import timedelta
from threading import Event
from typing import Any

import pytest

from config.errors import (
    DeadlineExceeded,
    ManifestNotJson,
    NodeFailed,
    OutputInvalid,
    StoreDenied,
    Superseded,
    UnknownField,
)
from pipeline.worker.context import RenderState, WorkerContext
from pipeline.worker.heartbeat import Heartbeat
from pipeline.worker.render import render_job
from tests.pipeline.conftest import MakePipeline
from tests.pipeline.dispatcher.test_survey import lease
from tests.support.instant_comfyui import InstantServer, failing, worker_context
from tests.support.manifests import body
from tests.support.pipeline_fixture import NOON, PipelineFixture
from tests.support.stack import wait_until


@pytest.fixture
def context(pipeline: PipelineFixture) -> WorkerContext:
    return worker_context(pipeline.store, pipeline.delivery, pipeline.runtime)


def made_by(
    context: WorkerContext, manifest: bytes, made: RenderState | None = None
) -> RenderState:
    """What comes of these bytes. The heart is never started: nothing here lasts."""
    made = made or RenderState()
    held = lease("job-1", attempt=3)
    heart = Heartbeat(context.store, held, "etag", context.runtime.settings)
    render_job(made, held, manifest, context, heart)
    return made


def test_pictures_lie_under_the_attempt_with_what_the_result_needs(
    pipeline: PipelineFixture, context: WorkerContext
) -> None:
    made = made_by(context, body(input={"num_images": 2, "seed": 40, "output_format": "webp"}))
    assert pipeline.keys("jobs/") == [output.key for output in made.outputs]
    assert [output.key for output in made.outputs] == [
        "jobs/job-1/out/a3/image-0.webp",
        "jobs/job-1/out/a3/image-1.webp",
    ]
    assert made.seed == made.outputs[0].seed == 40
    assert {(o.width, o.height, o.content_type) for o in made.outputs} == {(256, 256, "image/webp")}
    assert len(made.graphs) == 2
    assert made.timings.sampling == 4
    assert made.models
    assert made.upload_s > 0


def test_steps_and_what_may_leave_some_out_are_told_as_the_graphs_have_them(
    context: WorkerContext,
) -> None:
    plain = made_by(context, body(input={"num_images": 2, "steps": 7}))
    cached = made_by(context, body(input={"steps": 7, "step_cache": 0.08}))

    assert (plain.steps, plain.step_cache) == (14, 0)
    assert (cached.steps, cached.step_cache) == (7, 0.08)


def test_what_was_made_before_a_failure_is_still_told(pipeline: PipelineFixture) -> None:
    context = worker_context(
        pipeline.store,
        pipeline.delivery,
        pipeline.runtime,
        InstantServer(failing(None, NodeFailed("broke"))),
    )
    made = RenderState()
    with pytest.raises(NodeFailed):
        made_by(context, body(input={"num_images": 3}), made)
    assert len(made.outputs) == len(made.graphs) == 1
    assert made.timings.sampling == 2


def test_a_picture_is_stored_while_the_next_one_is_made(make_pipeline: MakePipeline) -> None:
    second = Event()
    runs: list[Any] = []

    def before(**options: Any) -> None:
        runs.append(options)
        if len(runs) == 2:
            second.set()

    def slow(call: str, key: str) -> None:
        assert not key.endswith("image-0.png") or second.wait(10)

    pipeline = make_pipeline()
    pipeline.raw.fail = slow
    context = worker_context(
        pipeline.store, pipeline.delivery, pipeline.runtime, InstantServer(before)
    )
    made = made_by(context, body(input={"num_images": 3}))
    assert [output.key[-11:-4] for output in made.outputs] == ["image-0", "image-1", "image-2"]
    assert [run["then"] is not None for run in runs] == [True, True, False]
    assert [run["prompt_id"] for run in runs[1:]] == [run["then"].id for run in runs[:-1]]


def test_a_picture_that_cannot_be_stored_ends_the_job_and_what_was_sent_ahead(
    make_pipeline: MakePipeline,
) -> None:
    runs: list[Any] = []

    def before(**options: Any) -> None:
        runs.append(options)
        if len(runs) == 2:
            assert wait_until(denied.is_set)

    def deny(call: str, key: str) -> StoreDenied | None:
        if key.endswith("image-0.png"):
            denied.set()
            return StoreDenied("403")
        return None

    denied = Event()
    pipeline, server = make_pipeline(), InstantServer(before)
    pipeline.raw.fail = deny
    context = worker_context(pipeline.store, pipeline.delivery, pipeline.runtime, server)
    with pytest.raises(StoreDenied):
        made_by(context, body(input={"num_images": 8}))
    assert server.instant.taken_back == [runs[-1]["then"].id]
    assert len(runs) <= 4


def test_no_picture_is_stored_once_the_lease_is_lost(
    pipeline: PipelineFixture, context: WorkerContext
) -> None:
    held = lease("job-1", attempt=3)
    heart = Heartbeat(context.store, held, "etag", context.runtime.settings)
    heart._lost = True
    with pytest.raises(Superseded):
        render_job(RenderState(), held, body(), context, heart)
    assert pipeline.keys("jobs/") == []


class Cleared(InstantServer):
    """Notes which jobs' files were to go."""

    def __init__(self, *errors: NodeFailed) -> None:
        super().__init__(failing(*errors))
        self.jobs: list[tuple[str, list[str]]] = []

    def clear(self, job_id: str, uploads: Iterable[str]) -> None:
        self.jobs.append((job_id, list(uploads)))


@pytest.mark.parametrize("errors", [(), (NodeFailed("broke"),)])
def test_comfyuis_files_of_a_job_go_with_it_however_it_ends(
    pipeline: PipelineFixture, errors: tuple[NodeFailed, ...]
) -> None:
    server = Cleared(*errors)
    context = worker_context(pipeline.store, pipeline.delivery, pipeline.runtime, server)
    with suppress(NodeFailed):
        made_by(context, body())
    assert server.jobs == [("job-1", [])]


@pytest.mark.parametrize(
    ("manifest", "error"),
    [
        (b"", ManifestNotJson),
        (b"{", ManifestNotJson),
        (body(unheard_of=1), UnknownField),
        (body(deadline=NOON.isoformat()), DeadlineExceeded),
        (body(input={"height": 512}), OutputInvalid),
    ],
)
def test_what_cannot_be_made_is_named(
    pipeline: PipelineFixture, context: WorkerContext, manifest: bytes, error: type[Exception]
) -> None:
    pipeline.store.list("leases/")
    with pytest.raises(error):
        made_by(context, manifest)
    assert pipeline.keys("jobs/") == []


def test_a_deadline_still_to_come_holds_up_nothing(context: WorkerContext) -> None:
    later = NOON + timedelta(seconds=1)
    assert len(made_by(context, body(deadline=later.isoformat())).outputs) == 1


def test_a_run_is_told_how_far_the_job_is_and_when_to_stop(make_pipeline: MakePipeline) -> None:
    told: list[Any] = []

    def before(**options: Any) -> None:
        options["on_progress"](0.5, "KSampler")
        told.append(options["should_stop"]())

    pipeline = make_pipeline()
    context = worker_context(
        pipeline.store, pipeline.delivery, pipeline.runtime, InstantServer(before)
    )
    held = lease("job-1")
    heart = Heartbeat(context.store, held, "etag", context.runtime.settings)
    render_job(RenderState(), held, body(input={"num_images": 2}), context, heart)
    assert told == [False, False]
    assert heart._progress is not None
    assert (heart._progress.fraction, heart._progress.step) == (0.75, "KSampler")
    context.stopping.set()
    render_job(RenderState(), held, body(), context, heart)
    assert told[-1] is True
