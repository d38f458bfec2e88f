from typing import Any

import pytest
from pydantic import Field

from config.errors import ConsentMissing, NsfwNotAllowed, PolicyRefused, PromptRefused
from handlers.kinds.base import JobInput
from handlers.policy.prompt_words import word_filter
from handlers.policy.rules import Policy, PolicySubject, likeness

POLICY = Policy(word_filter, frozenset({"adult"}))


def asked(**changes: Any) -> PolicySubject:
    usual: dict[str, Any] = {
        "tenant": "acme",
        "nsfw": False,
        "consent": False,
        "prompts": ["a portrait"],
        "likeness": None,
    }
    return PolicySubject(**{**usual, **changes})


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, None),
        ({"likeness": "input.face"}, None),
        ({"nsfw": True}, NsfwNotAllowed),
        ({"nsfw": True, "tenant": "Adult"}, NsfwNotAllowed),
        ({"nsfw": True, "tenant": "adult"}, None),
        ({"nsfw": True, "tenant": "adult", "likeness": "input.face"}, ConsentMissing),
        ({"nsfw": True, "tenant": "adult", "likeness": "input.face", "consent": True}, None),
        ({"nsfw": True, "tenant": "acme", "likeness": "input.face"}, NsfwNotAllowed),
        ({"prompts": ["nude child"]}, PromptRefused),
        ({"prompts": ["a portrait", "nude child"]}, PromptRefused),
        ({"prompts": ["nude child"], "tenant": "adult", "nsfw": True}, PromptRefused),
        ({"prompts": ["nude child"], "consent": True}, PromptRefused),
        ({"prompts": ["a child"]}, None),
        ({"prompts": ["a child"], "tenant": "adult", "nsfw": True}, PromptRefused),
        ({"prompts": []}, None),
    ],
)
def test_the_table(changes: dict[str, Any], expected: type[PolicyRefused] | None) -> None:
    if expected is None:
        POLICY.require(asked(**changes))
        return
    with pytest.raises(PolicyRefused) as caught:
        POLICY.require(asked(**changes))
    assert type(caught.value) is expected
    assert caught.value.field


def test_a_refused_prompt_is_not_repeated() -> None:
    with pytest.raises(PromptRefused) as caught:
        POLICY.require(asked(prompts=["nude child"]))

    assert "nude" not in caught.value.message
    assert caught.value.value is None


class FaceInput(JobInput):
    face: str | None = Field(default=None, json_schema_extra={"picture": True})
    more: list[str] = Field(default=[], json_schema_extra={"picture": True})
    lora_id: str | None = None
    lora_name: str | None = None
    note: str = ""


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, None),
        ({"note": "x"}, None),
        ({"face": "inputs/a.png"}, "input.face"),
        ({"more": ["inputs/a.png"]}, "input.more"),
        ({"lora_id": "7"}, "input.lora_id"),
        ({"lora_name": "style"}, "input.lora_name"),
    ],
)
def test_pictures_and_loras_may_show_a_person(fields: Any, expected: str | None) -> None:
    assert likeness(FaceInput(**fields)) == expected
