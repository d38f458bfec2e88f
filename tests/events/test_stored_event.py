import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import pytest
from pydantic import ValidationError

from events.catalogue import (
    MAX_TEXT,
    Common,
    Event,
    FaceConsistencyMeasured,
    GenerationFailed,
    GenerationRequested,
    LoraLoaded,
    RequestProperties,
)
from events.job_properties import request_properties
from events.moments import TABLE
from events.stored_event import StoredEvent, stored
from tests.events.builders import AT, COMMON, completed, scores

LONG = "\U0001f98a" * 100_000


def score(**changes: Any) -> Event:
    given: dict[str, Any] = {"consistency_score": 0.9, "output": 0} | changes
    return FaceConsistencyMeasured(**given)


def uuid_of(event: Event, common: Common = COMMON, subject: str = "j1") -> str:
    return stored(event, common, subject=subject, at=AT).uuid


def attempt(number: int, **changes: Any) -> Common:
    return COMMON.model_copy(update={"attempt": number, **changes})


def test_ten_scores_of_one_job_are_ten_events() -> None:
    assert len({event.uuid for event in scores("j1", 10)}) == 10


def test_output_view_gate_try_and_attempt_each_tell_scores_apart() -> None:
    events = [
        uuid_of(score()),
        uuid_of(score(output=1)),
        uuid_of(score(view="front")),
        uuid_of(score(gate_try=1)),
        uuid_of(score(), attempt(2)),
        uuid_of(score(), subject="j2"),
        uuid_of(score(), attempt(1, environment="production")),
    ]
    assert len(set(events)) == len(events)


def test_what_was_measured_does_not_make_another_event() -> None:
    assert uuid_of(score()) == uuid_of(score(consistency_score=0.1, similarity=0.2))


def test_two_lora_files_of_one_job_are_two_events() -> None:
    first, second = (
        LoraLoaded(lora_file=file, sha256="0" * 64, lora_size_mb=1.0, load_time_ms=0, cached=True)
        for file in ("loras/a.safetensors", "loras/b.safetensors")
    )
    assert uuid_of(first) != uuid_of(second)


def test_a_request_is_the_same_event_whichever_attempt_tells_of_it() -> None:
    event = GenerationRequested(request=RequestProperties(width=512))
    late = attempt(3, gpu_type="L40S", duration=4.0, cost_usd=0.1, error_code="comfyui_died")
    first = stored(event, attempt(1), subject="j1", at=AT)
    assert stored(event, late, subject="j1", at=AT) == first
    assert first.properties["attempt"] == 1


def test_a_job_ends_once_whichever_attempt_ended_it() -> None:
    event = GenerationFailed(request=RequestProperties(), error_type="timeout", refused=False)
    first = stored(event, attempt(1), subject="j1", at=AT)
    second = stored(event, attempt(2), subject="j1", at=AT)
    assert first.uuid == second.uuid
    assert second.properties["attempt"] == 2


def test_uuids_stay_what_they_are() -> None:
    """A changed recipe would make every replayed event a new one."""
    assert completed("j1").uuid == "27b37c16-d16c-5de3-b283-95a9d9d5cfe2"
    assert scores("j1", 1)[0].uuid == "aa93000b-10de-5b4a-acb3-3b55bf72b954"
    assert UUID(completed("j1").uuid).version == 5


def test_the_time_is_the_given_one_in_utc() -> None:
    event = GenerationRequested(request=RequestProperties())
    elsewhere = datetime(2026, 3, 1, 14, 0, tzinfo=timezone(timedelta(hours=2)))
    told = stored(event, COMMON, subject="j1", at=elsewhere).timestamp
    assert told == "2026-03-01T12:00:00.000+00:00"
    assert datetime.fromisoformat(told) == elsewhere.astimezone(UTC)


@pytest.mark.parametrize(
    ("wanted", "tenant", "carried"),
    [("user_1", "acme", "user_1"), (None, "acme", "acme"), ("null", None, "job:j1")],
)
def test_the_distinct_id_is_the_callers_or_stands_in(
    wanted: str | None, tenant: str | None, carried: str
) -> None:
    common = attempt(1, tenant=tenant)
    event = stored(
        GenerationRequested(request=RequestProperties()),
        common,
        subject="j1",
        at=AT,
        distinct_id=wanted,
    )
    assert event.distinct_id == carried


def test_every_event_carries_the_common_properties_and_posthogs() -> None:
    properties = completed("j1").properties
    assert set(Common.model_fields) <= set(properties)
    assert properties["kind"] == "flux-instantid"
    assert properties["$ignore_sent_at"] is True
    assert properties["$process_person_profile"] is False
    assert properties["$geoip_disable"] is True
    assert properties["prompt_length"] == 12
    assert "request" not in properties


def test_numbers_that_json_lacks_become_null() -> None:
    event = stored(
        score(similarity=float("nan")), attempt(1, cost_usd=float("inf")), subject="j1", at=AT
    )
    assert event.properties["similarity"] is None
    assert event.properties["cost_usd"] is None
    json.dumps(event.wire(), allow_nan=False)


def test_an_event_comes_back_from_json_as_it_went_and_is_sent_as_the_same_bytes() -> None:
    event = completed("j1")
    kept = event.model_dump_json()
    loaded = json.loads(kept)
    shuffled = json.dumps(loaded | {"properties": dict(reversed(loaded["properties"].items()))})
    assert StoredEvent.model_validate_json(kept) == event
    sent = [StoredEvent.model_validate_json(one).wire() for one in (kept, shuffled)]
    assert json.dumps(sent[0]) == json.dumps(sent[1]) == json.dumps(event.wire())


def as_long_as_can_be(event_type: type[Event]) -> Event:
    given: dict[str, Any] = dict.fromkeys(event_type.model_fields, LONG)
    others = {
        "request": request_properties(LONG, {"prompt": LONG, "output_format": LONG}),
        "error_type": "timeout",
        "kinds": (LONG,) * 20,
    }
    try:
        return event_type(**given)
    except ValidationError as error:
        fields = [str(one["loc"][0]) for one in error.errors()]
        return event_type(**given | {field: others.get(field, 1) for field in fields})


@pytest.mark.parametrize("event_type", list(dict.fromkeys(TABLE.values())))
def test_no_text_makes_an_event_too_large_for_posthog(event_type: type[Event]) -> None:
    common = Common(
        kind="flux-dev",
        environment=LONG,
        engine=LONG,
        app_version=LONG,
        tenant=LONG,
        gpu_type=LONG,
        error_code=LONG,
    )
    event = stored(as_long_as_can_be(event_type), common, subject="j1", at=AT)
    assert 6 * MAX_TEXT < len(json.dumps(event.wire())) < 900 * 1024
