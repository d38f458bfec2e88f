"""Request bodies: a kind's input and the manifest's own fields, side by side."""

import pytest

from config.errors import InvalidField, NotAvailable, UnknownField
from handlers.kinds.registry import KINDS
from pipeline.api.body import EXAMPLES, MANIFEST_FIELDS, body_model, in_body_terms, manifest_of
from pipeline.contract.manifest import MAX_PROBLEMS


def test_a_body_becomes_the_manifest_of_its_path_and_key_with_nothing_added() -> None:
    body = {"prompt": "a fox", "seed": 0, "priority": 7, "metadata": {"order": 1}}

    assert manifest_of("flux-dev", "acme", body) == {
        "version": 1,
        "model": "flux-dev",
        "tenant": "acme",
        "input": {"prompt": "a fox", "seed": 0},
        "priority": 7,
        "metadata": {"order": 1},
    }


@pytest.mark.parametrize("name", ["tenant", "model", "version", "input"])
def test_what_path_and_key_say_cannot_be_said_by_the_body(name: str) -> None:
    with pytest.raises(UnknownField):
        manifest_of("flux-dev", "acme", {"prompt": "a fox", name: "zenith"})


def test_unknown_fields_are_all_named_each_with_the_nearest_of_both_sorts() -> None:
    with pytest.raises(UnknownField) as wrong:
        manifest_of("flux-dev", "acme", {"promt": "a fox", "prioritty": 1})

    assert wrong.value.hint == "Did you mean 'prompt'?"
    assert [each.hint for each in wrong.value.others] == ["Did you mean 'priority'?"]


def test_of_very_many_unknown_fields_some_are_named() -> None:
    with pytest.raises(UnknownField) as wrong:
        manifest_of("flux-dev", "acme", {f"name-{n}": n for n in range(10_000)})

    assert len(wrong.value.others) == MAX_PROBLEMS - 1


def test_a_kind_to_come_is_refused_as_not_available() -> None:
    with pytest.raises(NotAvailable):
        manifest_of("wan-t2v", "acme", {})


def test_errors_speak_of_the_body_not_of_the_manifest() -> None:
    error = InvalidField("input.steps: too many", field="input.steps")
    error.others = (InvalidField("input: it names no LoRA", field="input"),)

    told = in_body_terms(error)

    assert (told.message, told.field) == ("steps: too many", "steps")
    assert [(each.message, each.field) for each in error.others] == [("it names no LoRA", None)]


@pytest.mark.parametrize("kind", KINDS)
def test_what_openapi_shows_has_every_field_once_and_a_fitting_example(kind: str) -> None:
    shown = body_model(kind).model_json_schema()
    fields = KINDS[kind].input_model.model_fields

    assert not set(fields) & set(MANIFEST_FIELDS)
    assert list(shown["properties"]) == [*fields, *MANIFEST_FIELDS]
    assert shown["additionalProperties"] is False
    assert set(EXAMPLES[kind]) <= set(fields)
    assert set(shown["required"]) <= set(EXAMPLES[kind])


def test_a_picture_may_be_longer_than_a_key() -> None:
    shown = body_model("sdxl-instantid").model_json_schema()["properties"]["reference_image"]

    assert "maxLength" not in shown
    assert "data URL" in shown["description"]
