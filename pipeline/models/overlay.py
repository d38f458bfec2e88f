"""Writes into the operator's models.toml (RYLA_MODELS_FILE); comments and the rest stay."""

import json
import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from config.errors import InvalidSetting
from config.models import load_models

Value = str | int | bool
Changes = Mapping[tuple[str, str], Mapping[str, Value]]
"""("weights" or "sets", name) → keys and their new values."""


def write(file: Path, changes: Changes) -> None:
    """Set these keys. Raises InvalidSetting, and leaves the file, if it cannot be changed so."""
    before = file.read_text("utf-8") if file.exists() else ""
    after = changed(before, changes)
    if _read(after, file) != _merged(_read(before, file), changes):
        raise InvalidSetting(
            f"{file} is written in a way that cannot be changed here",
            value=str(file),
            hint=f"Write these lines into it:\n{changed('', changes)}",
        )
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(f".{file.name}.part")
    part.write_text(after, "utf-8")
    try:
        load_models(part)  # what the table refuses is not kept
        os.replace(part, file)
    finally:
        part.unlink(missing_ok=True)


def changed(text: str, changes: Changes) -> str:
    """The text with the keys set in their tables, which are added at the end if need be. Inline
    tables and dotted keys are not found: `write` notices."""
    lines = text.splitlines()
    for (kind, name), values in changes.items():
        lines = _with_table(lines, f"[{kind}.{_key(name)}]", values)
    return "\n".join(lines) + "\n"


def _with_table(lines: list[str], header: str, values: Mapping[str, Value]) -> list[str]:
    begin = next((i for i, line in enumerate(lines) if _bare(line) == header), None)
    if begin is None:
        gap = [""] if lines and lines[-1].strip() else []
        return [*lines, *gap, header, *(_line(key, value) for key, value in values.items())]
    end = next(
        (i for i in range(begin + 1, len(lines)) if lines[i].lstrip().startswith("[")), len(lines)
    )
    table = lines[begin + 1 : end]
    for key, value in values.items():
        pattern = re.compile(rf"\s*{re.escape(_key(key))}\s*=")
        at = next((i for i, line in enumerate(table) if pattern.match(line)), None)
        if at is None:
            last = max((i for i, line in enumerate(table) if line.strip()), default=-1)
            table.insert(last + 1, _line(key, value))
        else:
            table[at] = _line(key, value)
    return [*lines[: begin + 1], *table, *lines[end:]]


def _bare(line: str) -> str:
    return line.partition("#")[0].strip().replace('"', "")


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else json.dumps(name)


def _line(key: str, value: Value) -> str:
    return f"{_key(key)} = {json.dumps(value, ensure_ascii=False)}"


def _read(text: str, file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InvalidSetting(f"{file}: not TOML: {error}", value=str(file)) from None


def _merged(content: dict[str, Any], changes: Changes) -> dict[str, Any]:
    for (kind, name), values in changes.items():
        content.setdefault(kind, {}).setdefault(name, {}).update(values)
    return content
