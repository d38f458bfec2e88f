"""The node classes that a caller's graph may use: allow_list.toml, read."""

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files

from pydantic import BaseModel, ConfigDict


class Pack(BaseModel):
    """Nodes that may be installed beside ComfyUI."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    repository: str
    commit: str
    """Of the repository: the version that was looked at."""
    nodes: Mapping[str, frozenset[str]]
    """Class → the inputs that it may be given."""
    instead: str
    """The kind that does without them."""


class AllowList(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    nodes: frozenset[str]
    """That need no look at their inputs beyond `limits`."""
    saves: frozenset[str]
    """Classes that save files; their `filename_prefix` is set by us."""
    images: Mapping[str, str]
    """Class → the input that names a picture."""
    limits: Mapping[str, float]
    """Name of an input, in any class → the greatest value it may have."""
    weights: Mapping[str, Mapping[str, str]]
    """Class → input → folder of models.toml."""
    refused: Mapping[str, str]
    """Class → why it is not allowed, and what to use instead."""
    packs: Mapping[str, Pack]
    """By the name of the pack."""

    def allows(self, class_type: str) -> bool:
        return (
            class_type in self.nodes
            or class_type in self.saves
            or class_type in self.images
            or class_type in self.weights
            or self.pack_of(class_type) is not None
        )

    def pack_of(self, class_type: str) -> tuple[str, Pack] | None:
        """Name and row of the pack that has a class; None for a class of none."""
        for name, pack in self.packs.items():
            if class_type in pack.nodes:
                return name, pack
        return None


@cache
def allow_list() -> AllowList:
    """The list that ships. Read once."""
    text = files("handlers.workflow_graph").joinpath("allow_list.toml").read_text("utf-8")
    return AllowList.model_validate(tomllib.loads(text))
