import inspect

import pytest
from pydantic import ValidationError

from events import catalogue
from events.catalogue import (
    MAX_TEXT,
    STEMS,
    AppDeployed,
    Event,
    FaceConsistencyMeasured,
    GenerationFailed,
    LoraLoaded,
    ManifestRejected,
)
from events.moments import TABLE, Moment, event_for

PLANNED = {
    "modal_flux_dev_generation_requested",
    "modal_flux_dev_generation_completed",
    "modal_flux_dev_generation_failed",
    "modal_instantid_generation_requested",
    "modal_instantid_generation_completed",
    "modal_instantid_generation_failed",
    "modal_instantid_face_consistency_measured",
    "modal_lora_loaded",
    "modal_lora_generation_requested",
    "modal_lora_generation_completed",
    "modal_lora_generation_failed",
    "modal_lora_load_failed",
    "modal_app_deployed",
    "modal_model_loaded",
}


def names_of(moment: Moment) -> set[str]:
    return {
        event.name_for(kind) for kind in STEMS if (event := event_for(moment, kind)) is not None
    }


def test_every_name_that_was_planned_is_the_name_of_some_moment() -> None:
    assert set().union(*(names_of(moment) for moment in Moment)) >= PLANNED


def test_the_properties_that_were_planned_are_there() -> None:
    asked_for = ["workflow_type", "prompt_length", "width", "height", "steps", "cfg", "has_seed"]
    assert set(asked_for) <= set(catalogue.RequestProperties.model_fields)
    assert "error_type" in GenerationFailed.model_fields
    assert {"consistency_score", "generation_time_ms"} <= set(FaceConsistencyMeasured.model_fields)
    assert {"lora_id", "lora_size_mb", "load_time_ms"} <= set(LoraLoaded.model_fields)


def test_each_event_type_belongs_to_a_moment_and_each_moment_to_one_type() -> None:
    types_ = {
        one
        for _, one in inspect.getmembers(catalogue, inspect.isclass)
        if issubclass(one, Event) and one is not Event
    }
    assert set(TABLE.values()) == types_
    assert set(TABLE) == set(Moment)


def test_no_property_hides_one_that_every_event_carries() -> None:
    common = set(catalogue.Common.model_fields)
    for event in TABLE.values():
        assert common.isdisjoint(event.model_fields), event
        assert set(event.told_apart_by) <= set(event.model_fields), event
    assert common.isdisjoint(catalogue.RequestProperties.model_fields)


def test_the_two_instantid_kinds_share_a_stem_and_no_other_two_do() -> None:
    assert STEMS["flux-instantid"] == STEMS["sdxl-instantid"] == "instantid"
    assert len(set(STEMS.values())) == len(STEMS) - 1


def test_text_is_cut_and_made_encodable() -> None:
    event = ManifestRejected(entry="x" * 5000, field="\ud83d")
    assert len(event.entry) == MAX_TEXT
    assert event.field == "?"


def test_events_are_frozen_and_know_their_properties() -> None:
    event = AppDeployed(kinds=("flux-dev",))
    with pytest.raises(ValidationError):
        event.kinds = ()  # type: ignore[misc]
    with pytest.raises(ValidationError):
        AppDeployed(kind="flux-dev")  # type: ignore[call-arg]
