"""What the tables of this folder have in common: rows, and how a file is read.

A file of the operator's is laid over the packaged one, key by key: it holds only what differs.
"""

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from config.errors import InvalidSetting
from config.nearest import nearest
from config.validation_errors import first_problem


class Row(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _named(rows: Any) -> Any:
    """Give each row its key as its name."""
    if not isinstance(rows, dict):
        return rows
    return {
        key: {**row, "name": key} if isinstance(row, dict) else row for key, row in rows.items()
    }


R = TypeVar("R")
Rows = Annotated[Mapping[str, R], BeforeValidator(_named)]
Positive = Annotated[float, Field(gt=0)]


T = TypeVar("T", bound=Row)


def load_table(packaged: str, path: Path | None, table: type[T], measured: str | None = None) -> T:
    """A table of this folder, with `measured`, then `path` laid over it. Raises InvalidSetting."""
    content = _packaged(packaged)
    if measured is not None:
        content = _laid_over(content, _packaged(measured))
    if path is not None:
        content = _laid_over(content, _read(path))
    try:
        return table.model_validate(content)
    except ValidationError as error:
        raise _invalid(path or Path(packaged), error, table) from None


@cache  # does not change under a process, and whoever lays something over it makes another
def _packaged(name: str) -> Mapping[str, Any]:
    return tomllib.loads((resources.files("config") / name).read_text("utf-8"))


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise InvalidSetting(f"{path}: {error.strerror}", value=str(path)) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidSetting(f"{path}: not TOML: {error}", value=str(path)) from None


def _laid_over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        under = merged.get(key)
        if isinstance(under, dict) and isinstance(value, dict):
            merged[key] = _laid_over(under, value)
        else:
            merged[key] = value
    return merged


def _invalid(source: Path, error: ValidationError, table: type[Row]) -> InvalidSetting:
    problem = first_problem(error, _keys(table))
    hint = problem.hint
    if problem.message == "unknown key" and len(problem.path) == 1:
        close = nearest(problem.path[0], table.model_fields)
        hint = f"Did you mean {close}?" if close else f"Known: {', '.join(table.model_fields)}."
    key = ".".join(problem.path)
    shown = "" if isinstance(problem.value, dict | None) else f" = {problem.value!r}"
    where = f"{key}{shown}: " if key else ""
    return InvalidSetting(
        f"{source}: {where}{problem.message}", field=key, value=problem.value, hint=hint
    )


def _keys(table: type[Row]) -> list[str]:
    """Of the table and of all its rows, as they are written."""
    schema = table.model_json_schema()
    models = (schema, *schema.get("$defs", {}).values())
    return [key for each in models for key in each.get("properties", ())]
