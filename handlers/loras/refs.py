"""A job's words for a LoRA; pipeline/loras/resolve.py says which file they mean."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ById:
    id: str
    version: str | None = None


@dataclass(frozen=True)
class ByName:
    name: str
    version: str | None = None


LoraRef = ById | ByName
