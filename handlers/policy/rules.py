"""May this be made at all? Asked of every job before a GPU starts. Pure; docs/policy.md has it in
words.

A refusal does not repeat the words that it is about: results and logs are kept for long.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from pydantic import BaseModel

from config.errors import ConsentMissing, NsfwNotAllowed, PromptRefused
from handlers.kinds.base import image_fields

_LORAS = ("lora_id", "lora_name")


class PromptCheck(Protocol):
    """Judges one text. The word filter of handlers/policy/prompt_words.py is the one that ships."""

    def __call__(self, text: str, *, nsfw: bool) -> str | None:
        """Why the text is refused, in words that may be shown; None to let it pass."""


@dataclass(frozen=True)
class PolicySubject:
    """What policy looks at in a job."""

    tenant: str
    nsfw: bool
    consent: bool
    """Whether the manifest states one."""
    prompts: Sequence[str]
    likeness: str | None
    """The field that brings in a face or a LoRA."""


@dataclass(frozen=True)
class Policy:
    """What this deployment refuses."""

    check_prompt: PromptCheck
    nsfw_tenants: frozenset[str] = frozenset()
    """Those that may set `nsfw`."""

    def require(self, asked: PolicySubject) -> None:
        """Raises PromptRefused, NsfwNotAllowed or ConsentMissing, the first that holds in this
        order."""
        for text in asked.prompts:
            why = self.check_prompt(text, nsfw=asked.nsfw)
            if why is not None:
                raise PromptRefused(f"the prompt is refused: {why}", field="input.prompt")
        if not asked.nsfw:
            return
        if asked.tenant not in self.nsfw_tenants:
            raise NsfwNotAllowed(
                f"the tenant {asked.tenant} may not set nsfw", field="input.nsfw", value=True
            )
        if asked.likeness is not None and not asked.consent:
            raise ConsentMissing(f"nsfw with {asked.likeness} needs a consent", field="consent")


def likeness(request: BaseModel) -> str | None:
    """The first field given that may show a person: a reference picture, or any LoRA.

    Nothing in a LoRA says whether it is a person's, so each counts as one.
    """
    for name in (*image_fields(type(request)), *_LORAS):
        if getattr(request, name, None):
            return f"input.{name}"
    return None
