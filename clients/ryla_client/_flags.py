"""Command-line flags out of the request types, so that every field of a kind has one."""

import argparse
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Required, Union, get_args, get_origin, get_type_hints

from ryla_client import requests

FLAGLESS = ("model",)


@dataclass(frozen=True)
class Field:
    """A field of a request, with its type taken apart."""

    name: str
    type: Any
    help: str
    required: bool

    @property
    def flag(self) -> str:
        return "--" + self.name.replace("_", "-")

    def add_to(self, parser: argparse.ArgumentParser) -> None:
        """Its flag, for a field that one word can hold, or several of them, each after the flag.
        Absent means: not in the request."""
        options: dict[str, Any] = {"help": self.help.replace("%", "%%"), "dest": self.name}
        if self.type is bool:
            parser.add_argument(self.flag, action="store_true", default=None, **options)
        elif get_origin(self.type) is Literal:
            choices = get_args(self.type)
            parser.add_argument(self.flag, choices=choices, required=self.required, **options)
        elif self.type == list[str]:
            parser.add_argument(
                self.flag, action="append", metavar="TEXT", required=self.required, **options
            )
        elif (names := _names_of_heads(self.type)) is not None:
            options["help"] += f" One of {', '.join(names)}, or angles."
            parser.add_argument(
                self.flag, type=_head, metavar="YAW,PITCH,ROLL", required=self.required, **options
            )
        elif self.type in (str, int, float):
            metavar = {str: "TEXT", int: "N", float: "X"}[self.type]
            parser.add_argument(
                self.flag, type=self.type, metavar=metavar, required=self.required, **options
            )


def kinds() -> Mapping[str, type]:
    """The request type of each kind, by its name."""
    found = {}
    for each in get_args(requests.Request):
        model = get_type_hints(each)["model"]
        found[str(get_args(model)[0])] = each
    return found


def _names_of_heads(hint: Any) -> tuple[str, ...] | None:
    """Those that stand beside a head's angles; None for what is no head."""
    forms = get_args(hint)
    if requests.HeadInput not in forms:
        return None
    return tuple(name for each in forms if get_origin(each) is Literal for name in get_args(each))


def _head(text: str) -> requests.HeadInput | str:
    """A name, which the server knows or refuses, or one to three angles in degrees. Raises
    ValueError."""
    if text[:1].isalpha():
        return text
    angles = [float(part) for part in text.split(",")]
    if len(angles) > 3:
        raise ValueError(text)
    yaw, pitch, roll = (*angles, 0.0, 0.0)[:3]
    return {"yaw": yaw, "pitch": pitch, "roll": roll}


def fields(request: type) -> Iterator[Field]:
    """Those of a request type, its own before the common ones."""
    hints = get_type_hints(request, include_extras=True)
    common = get_type_hints(requests.Common)
    for name in sorted(hints, key=lambda name: name in common):
        if name not in FLAGLESS:
            yield _field(name, hints[name])


def _field(name: str, hint: Any) -> Field:
    required, about = False, ""
    if get_origin(hint) is Required:
        required, hint = True, get_args(hint)[0]
    if get_origin(hint) is Annotated:
        hint, about = get_args(hint)
    if get_origin(hint) in (Union, UnionType):
        others = [each for each in get_args(hint) if each is not NoneType]
        hint = Union[*others]
    return Field(name, hint, about, required)
