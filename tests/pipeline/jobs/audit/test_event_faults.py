from typing import Any

import pytest

from events.stored_event import StoredEvent
from pipeline.jobs.audit.event_faults import event_faults
from pipeline.jobs.audit.faults import FaultKind


def event(name: str, uuid: str, **properties: Any) -> StoredEvent:
    return StoredEvent(
        event=name, uuid=uuid, distinct_id="acme", timestamp="t", properties=properties
    )


def told(*events: StoredEvent) -> list[FaultKind]:
    return [fault.kind for fault in event_faults(events, "key")]


def test_an_event_may_be_told_again_under_its_uuid() -> None:
    once = event("modal_lora_loaded", "u1", attempt=1, lora_file="a")

    assert told(once, once) == []
    assert told(once, once.model_copy(update={"timestamp": "later"})) == [FaultKind.EVENT_DIFFERS]


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ({"attempt": 1, "lora_file": "a"}, {"attempt": 1, "lora_file": "a", "cached": True}, True),
        ({"attempt": 1, "lora_file": "a"}, {"attempt": 2, "lora_file": "a"}, False),
        ({"attempt": 1, "lora_file": "a"}, {"attempt": 1, "lora_file": "b"}, False),
    ],
)
def test_what_happens_in_an_execution_is_told_once_for_each_attempt_and_ordinal(
    first: dict[str, Any], second: dict[str, Any], same: bool
) -> None:
    name = "modal_lora_loaded"
    found = told(event(name, "u1", **first), event(name, "u2", **second))

    assert found == [FaultKind.EVENT_TWICE] * same


@pytest.mark.parametrize("moment", ["requested", "completed", "failed", "cancelled"])
def test_a_job_is_asked_for_and_ends_once_whatever_the_attempt(moment: str) -> None:
    name = f"modal_flux_dev_generation_{moment}"

    assert told(event(name, "u1", attempt=1), event(name, "u2", attempt=2)) == [
        FaultKind.EVENT_TWICE
    ]


def test_of_an_event_of_a_later_version_only_the_uuid_is_judged() -> None:
    assert told(event("modal_new", "u1"), event("modal_new", "u2")) == []
    assert told(event("modal_new", "u1"), event("modal_new", "u1", n=1)) == [
        FaultKind.EVENT_DIFFERS
    ]


def test_properties_of_any_kind_are_no_error() -> None:
    assert told(event("modal_lora_loaded", "u1", attempt=[1], lora_file={"a": None})) == []
