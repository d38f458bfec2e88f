"""The tables of error codes in docs/errors.md, made from the error tree and error_words.toml."""

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from config.errors import RylaError
from pipeline.api.request_errors import RequestRefused

WORDS = Path(__file__).parent / "error_words.toml"
ROWS = ("| code | status | again | means | do |", "| --- | --- | --- | --- | --- |")


@dataclass(frozen=True)
class Words:
    """What the tree does not say: groups of codes, and for each code its meaning and what to do."""

    groups: Sequence[Mapping[str, str]]
    codes: Mapping[str, Sequence[str]]

    @classmethod
    def read(cls) -> "Words":
        document: dict[str, Any] = tomllib.loads(WORDS.read_text("utf-8"))
        return cls(document["groups"], document["codes"])


def below(top: type[RylaError]) -> Iterator[type[RylaError]]:
    """A class and all below it, in the order of the tree. Classes of modules other than the two
    that hold the tree are left out: they are not part of the contract."""
    if top.__module__ in (RylaError.__module__, RequestRefused.__module__):
        yield top
    for each in top.__subclasses__():
        yield from below(each)


def tables() -> str:
    """A heading and a table for each group. `again`: whether the pipeline itself tries again."""
    words = Words.read()
    branches = {each.code: each for each in RylaError.__subclasses__()}
    lines: list[str] = []
    for group in words.groups:
        if "title" in group:
            said = [group["words"], ""] if group["words"] else []
            lines += ["", f"## {group['title']}", "", *said, *ROWS]
        for error in below(branches[group["top"]]):
            means, do = words.codes[error.code]
            again = "yes" if error.retryable else ""
            lines.append(f"| `{error.code}` | {error.http_status} | {again} | {means} | {do} |")
    return "\n".join(lines[1:]) + "\n"
