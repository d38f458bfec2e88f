import json
from typing import Any

import pytest

from config.errors import InvalidId
from events.moments import Moment
from events.stored_event import StoredEvent
from handlers.character_sheet.records import Picture, Try
from handlers.faces.head import Head
from handlers.faces.match import Reason, Score
from handlers.faces.measurement import FaceMeasurement, FaceTry
from handlers.faces.view import AskedView, Framing, ViewReason, ViewVerdict
from pipeline.contract.error_info import ErrorInfo
from pipeline.contract.result import JobCost, Metrics
from pipeline.contract.summary import Subject, subject
from pipeline.models.loads import LoadedModel, Source
from pipeline.notify.job_events import (
    Origin,
    completed,
    ended,
    entry_rejected,
    face_measured,
    model_loaded,
    requested,
    view_measured,
)
from tests.support.manifests import body
from tests.support.pipeline_fixture import NOON

HERE = Origin("test", "local", "1.0")
METRICS = Metrics(
    queue=2,
    claim=1,
    start=0.25,
    load=0,
    encode=0,
    sampling=3,
    decode=0,
    other=0,
    upload=0,
    total=3.5,
    gpu="L40S",
    gpu_seconds=3.5,
    cold=False,
)


def about(manifest: bytes) -> Subject:
    return subject("job-1", "inbox/job-1.json", NOON, manifest)


def test_what_a_manifest_says_of_itself_is_read() -> None:
    known = about(body(tenant="acme", distinct_id="user_1"))
    assert (known.kind, known.tenant, known.distinct_id) == ("flux-dev", "acme", "user_1")
    assert known.input["width"] == 256


@pytest.mark.parametrize(
    "manifest",
    [
        b"",
        b"\xff",
        b"[]",
        b"null",
        b"{}",
        b'{"model": 5, "tenant": [], "input": "x", "distinct_id": {}}',
        b'{"model": "\\ud800"}',
        b"[" * 100_000,
        body(input={"steps": 10**300, "width": [], "prompt": None}),
        b'{"model": "flux-dev", "input": {"guidance": NaN, "cfg": Infinity}}',
    ],
)
def test_whatever_cannot_be_read_is_left_out_and_the_event_can_be_written(manifest: bytes) -> None:
    known = about(manifest)
    events = [
        *requested(known, HERE),
        ended(
            known, HERE, Moment.REFUSED, attempt=1, at=NOON, error=ErrorInfo(code="c", message="m")
        ),
        entry_rejected("inbox/X", "rejected/X.json", manifest, InvalidId("no id"), HERE, NOON),
    ]
    for event in events:
        json.dumps(event.wire(), allow_nan=False).encode()
        event.model_dump_json().encode()


def test_a_request_is_told_alike_in_every_attempt() -> None:
    (first,), (second,) = requested(about(body()), HERE), requested(about(body()), HERE)
    assert first == second
    assert first.event == "modal_flux_dev_generation_requested"
    assert first.timestamp.startswith("2026-03-01T12:00:00")


def test_a_completion_tells_figures_of_its_attempt() -> None:
    def at(attempt: int) -> Any:
        cost = JobCost(usd=0.002, total_usd=0.004)
        return completed(
            about(body()),
            HERE,
            attempt=attempt,
            metrics=METRICS,
            cost=cost,
            outputs=1,
            at=NOON,
        )

    told = at(2).properties
    assert told["generation_time_ms"] == 3500
    assert told["queue_time_ms"] == 3000
    assert told["cold_start_ms"] == round(METRICS.start * 1000)
    assert (told["gpu_type"], told["cost_usd"], told["attempt"]) == ("L40S", 0.002, 2)
    assert (told["kind"], told["environment"], told["engine"]) == ("flux-dev", "test", "local")


@pytest.mark.parametrize(
    ("moment", "name", "refused"),
    [
        (Moment.FAILED, "modal_flux_dev_generation_failed", None),
        (Moment.REFUSED, "modal_flux_dev_generation_failed", True),
        (Moment.CANCELLED, "modal_flux_dev_generation_cancelled", None),
    ],
)
def test_each_ending_has_its_event(moment: Moment, name: str, refused: bool | None) -> None:
    error = ErrorInfo(code="over_budget", message="m", field="max_cost_usd")
    event = ended(about(body()), HERE, moment, attempt=1, at=NOON, error=error)
    assert event.event == name
    assert event.properties["error_code"] == "over_budget"
    assert (event.properties.get("refused") or None) is refused


def test_two_bodies_of_one_id_are_two_rejections() -> None:
    def rejected(target: str) -> str:
        return entry_rejected("inbox/a.json", target, b"", InvalidId(""), HERE, NOON).uuid

    assert rejected("rejected/a.1.json") == rejected("rejected/a.1.json")
    assert rejected("rejected/a.1.json") != rejected("rejected/a.2.json")


def test_a_rejected_entrys_event_carries_the_ids_that_its_page_names() -> None:
    def told(manifest: bytes) -> StoredEvent:
        target = "rejected/My-Job.0123456789ab.json"
        return entry_rejected("inbox/My Job.json", target, manifest, InvalidId(""), HERE, NOON)

    assert told(b"?").distinct_id == "manifest:rejected/My-Job.0123456789ab.json"
    assert told(body(tenant="acme")).distinct_id == "acme"
    assert told(body(tenant="acme", distinct_id="user_1")).distinct_id == "user_1"
    properties = told(b"?").properties
    assert (properties["entry"], properties["attempt"]) == ("My Job.json", None)


def face_event(view: ViewVerdict | None) -> dict[str, Any]:
    score = Score(None, reason=Reason.FACE_TURNED)
    measured = FaceMeasurement([FaceTry(score, None, 7, 1.5, view)], 0)
    [event] = face_measured(about(body()), HERE, measured, output=0, attempt=1, at=NOON)
    return event.properties


def test_a_face_event_says_which_view_was_asked_for_which_was_made_and_whether_it_will_do() -> None:
    asked = AskedView(Head(yaw=-35.0), Framing.HALF)
    verdict = ViewVerdict(
        asked, Head(12.34, 5.0, -3.0), Framing.CLOSE_UP, ok=False, reason=ViewReason.WRONG_YAW
    )
    told = face_event(verdict)
    assert (told["view_ok"], told["view_reason"]) == (False, "wrong_yaw")
    assert (told["asked_yaw"], told["asked_pitch"], told["asked_framing"]) == (-35.0, 0.0, "half")
    assert (told["measured_yaw"], told["measured_pitch"]) == (12.3, 5.0)
    assert (told["measured_roll"], told["measured_framing"]) == (-3.0, "close-up")


def test_without_a_view_that_was_asked_for_a_face_event_has_none() -> None:
    told = face_event(None)
    assert {told[name] for name in told if name.startswith(("asked_", "measured_", "view_"))} == {
        None
    }


def test_of_a_sheet_s_picture_the_view_is_told_from_its_record() -> None:
    made = Try(
        number=1,
        view="side-left",
        k=1,
        seed=7,
        picture=Picture(key="k", bytes=1, sha256="s", width=8, height=8, content_type="image/png"),
        seconds=3.0,
        asked={"yaw": -85.0, "pitch": 0.0, "roll": 0.0, "framing": "half"},
        reason="unmeasured",
    )
    told = view_measured(about(body()), HERE, made, kept=True, at=NOON).properties
    assert (told["view"], told["view_ok"], told["view_reason"]) == ("side-left", None, "unmeasured")
    assert (told["asked_yaw"], told["measured_yaw"]) == (-85.0, None)


def test_each_model_that_a_job_loaded_is_an_event_of_its_own() -> None:
    def loaded(name: str, attempt: int = 1) -> Any:
        model = LoadedModel(name, 34_172_222_344, 4.5, Source.VOLUME)
        return model_loaded(about(body()), HERE, model, attempt=attempt, at=NOON)

    told = loaded("flux-dev")
    assert told.event == "modal_model_loaded"
    wanted = ("model_name", "model_size_mb", "load_time_ms", "source", "kind")
    assert [told.properties[name] for name in wanted] == [
        "flux-dev",
        34172.222,
        4500,
        "volume",
        "flux-dev",
    ]
    assert loaded("flux-dev") == told
    others = (loaded("flux-schnell"), loaded("flux-dev", attempt=2))
    assert len({told.uuid, *(each.uuid for each in others)}) == 3
