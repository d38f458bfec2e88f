"""Puts a picture into the bucket and says in the result what it is."""

from handlers.faces.boxes import Box
from handlers.faces.head import Head
from handlers.faces.match import Reason
from handlers.faces.measurement import FaceMeasurement
from handlers.faces.view import Framing
from handlers.kinds.base import Pixels, Rendered
from handlers.media import images, raw_outputs
from pipeline.contract.keys import attempt_folder
from pipeline.contract.lease import Lease
from pipeline.contract.result import (
    FaceBaseline,
    Output,
    OutputFace,
    OutputView,
    Region,
    ViewAngles,
)
from pipeline.store.conditional import SafeStore
from pipeline.worker.heartbeat import Heartbeat


def store(rendered: Rendered, lease: Lease, bucket: SafeStore, heart: Heartbeat) -> Output:
    """The picture, and its composition if it has one, put into the bucket as they are delivered.

    Raises OutputInvalid, or Superseded when the lease is lost meanwhile.
    """
    stored = _put(rendered, rendered.pixels or rendered.body, rendered.name, lease, bucket, heart)
    if rendered.composition is not None:
        name = f"{rendered.name}-composition"
        before = _put(rendered, rendered.composition, name, lease, bucket, heart)
        stored = stored.model_copy(update={"composition": before})
    if rendered.face is None:
        return stored
    fields = {**told(rendered.face), "view": view_of(rendered.name, rendered.face)}
    return stored.model_copy(update=fields)


def _put(
    rendered: Rendered,
    body: bytes | Pixels,
    name: str,
    lease: Lease,
    bucket: SafeStore,
    heart: Heartbeat,
) -> Output:
    finished = _finished(rendered, body, lease.id)
    key = f"{attempt_folder(lease.id, lease.attempt)}{name}.{finished.extension}"
    heart.insist(lambda: bucket.write(key, finished.body, finished.content_type))
    return Output(
        key=key,
        bytes=len(finished.body),
        sha256=finished.sha256,
        width=finished.width,
        height=finished.height,
        content_type=finished.content_type,
        seed=rendered.seed,
    )


def _finished(rendered: Rendered, body: bytes | Pixels, job_id: str) -> images.Finished:
    if rendered.saved_as is not None and isinstance(body, bytes):
        return raw_outputs.finish(body, rendered.saved_as, fmt=rendered.format, job_id=job_id)
    return images.finish(
        body,
        fmt=rendered.format or "png",
        job_id=job_id,
        prompt=rendered.embed_prompt,
        expect=rendered.size,
    )


def told(report: FaceMeasurement) -> dict[str, OutputFace | Region | str | None]:
    """The fields of an output that speak of its face."""
    resampled = None if report.resampled is None else region(report.resampled)
    best = report.best
    if best is None or best.score.similarity is None or best.box is None:
        reason = Reason.NO_FACE if best is None else best.score.reason
        return {"face": None, "face_reason": reason, "resampled": resampled}
    score, baseline = best.score, best.score.baseline
    face = OutputFace(
        similarity=best.score.similarity,
        match=score.match,
        baseline=None
        if baseline is None
        else FaceBaseline(same_mean=baseline.same_mean, strangers_mean=baseline.strangers_mean),
        reason=score.reason,
        embedder=score.embedder or "",
        embedder_sha256=score.embedder_sha256,
        faces_found=score.faces_found,
        box=region(best.box),
        seed=best.seed,
        gate_try=report.kept,
        tries=len(report.tries),
    )
    return {"face": face, "face_reason": None, "resampled": resampled}


def view_of(name: str, report: FaceMeasurement) -> OutputView | None:
    """How the head is turned, beside how it was to be; None where nobody asked."""
    verdict = None if report.best is None else report.best.view
    if verdict is None:
        return None
    return OutputView(
        id=name,
        asked=_angles(verdict.asked.head, verdict.asked.framing),
        measured=_angles(verdict.measured, verdict.framing),
        ok=verdict.ok,
        reason=verdict.reason,
        tries=len(report.tries),
        seconds=sum(one.seconds for one in report.tries),
    )


def _angles(head: Head | None, framing: Framing | None) -> ViewAngles | None:
    if head is None:
        return None
    return ViewAngles(yaw=head.yaw, pitch=head.pitch, roll=head.roll, framing=framing)


def region(box: Box) -> Region:
    """In pixels, as the result has it."""
    return Region(x=box.x, y=box.y, width=box.width, height=box.height)
