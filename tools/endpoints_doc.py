"""Writes docs/api.md from the app: `python -m tools.endpoints_doc`."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from config.errors import (
    EngineUnavailable,
    FaceModelsMissing,
    InstallFailed,
    InvalidSetting,
    ModelError,
    RylaError,
)
from config.settings import Settings
from pipeline.api.app import make_app
from pipeline.api.dependencies import ApiDependencies
from pipeline.api.docs_page import default_of, type_of
from pipeline.api.openapi import MEANINGS
from pipeline.api.paths import ENDPOINTS, GONE
from pipeline.api.responses import by_code
from pipeline.runtime import load_runtime
from pipeline.store.conditional import SafeStore
from pipeline.store.memory import MemoryStore

PATH = Path(__file__).parent.parent / "docs" / "api.md"
WORDS = Path(__file__).parent / "api_words.md"
NOT_OVER_HTTP = (InstallFailed, InvalidSetting, ModelError, FaceModelsMissing, EngineUnavailable)
CODES_HEAD = """\
These are the codes that a request or its job can end with, each with its hint.
[errors.md](errors.md) has all codes with their meanings.
"""
DOCUMENTS = ("Job", "JobResult", "Jobs", "Output", "Metrics", "JobCost", "Provenance", "Problem")


def render() -> str:
    document = _document()
    parts = [WORDS.read_text("utf-8"), "## Endpoints\n", table(document)]
    parts += ["## Paths of the system before this one\n", old_paths()]
    parts += ["## Requests\n", *_requests(document), "## Answers\n", *_answers(document)]
    parts += ["## Statuses\n", _statuses(), "## Error codes\n", CODES_HEAD, _codes()]
    return "\n".join(parts)


def table(document: Mapping[str, Any] | None = None) -> str:
    """Every endpoint in a line."""
    document = document or _document()
    rows = ["| endpoint | what it does |", "| --- | --- |"]
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            old = " (old name)" if operation.get("deprecated") else ""
            rows.append(f"| `{method.upper()} {path}` | {operation['summary']}{old} |")
    coming = [each.path for each in ENDPOINTS if not each.available]
    rows += [f"| `POST {path}` | Answers 501 until its kind is built |" for path in coming]
    rows.append(
        "| `GET /docs`, `GET /openapi.json` | This reference, to try out and for programs |"
    )
    return "\n".join(rows) + "\n"


def old_paths() -> str:
    rows = ["| path | what became of it |", "| --- | --- |"]
    for endpoint in ENDPOINTS:
        if endpoint.old:
            same = f"as `/{endpoint.kind}`" if endpoint.alias else "stays"
            more = f"; {endpoint.changed}" if endpoint.changed else ""
            rows.append(f"| `{endpoint.path}` | {same}{more} |")
    rows += [f"| `{_all_of(gone.path)}` | 410. {gone.instead} |" for gone in GONE]
    return "\n".join(rows) + "\n"


def _all_of(path: str) -> str:
    """With dots for what may follow."""
    return re.sub(r"\{.*\}$", "…", path)


def _document() -> dict[str, Any]:
    settings = Settings.model_validate({"api_keys": f"docs:{'0' * 64}"})
    dependencies = ApiDependencies(load_runtime(settings, "local"), SafeStore(MemoryStore()))
    return make_app(dependencies).openapi()


def _requests(document: Mapping[str, Any]) -> Iterator[str]:
    schemas = document["components"]["schemas"]
    parts: dict[str, None] = {}
    for endpoint in ENDPOINTS:
        if endpoint.alias or not endpoint.available:
            continue
        body = document["paths"][endpoint.path]["post"]["requestBody"]["content"]
        name = body["application/json"]["schema"]["$ref"].rpartition("/")[2]
        yield f"### POST {endpoint.path}\n"
        yield _fields(schemas[name])
        parts |= dict.fromkeys(_parts(schemas[name], schemas))
    for name in parts:
        yield from (f"### {name}\n", f"{_line(schemas[name].get('description', ''))}\n")
        yield _fields(schemas[name])


def _parts(schema: Mapping[str, Any], schemas: Mapping[str, Any]) -> Iterator[str]:
    """The objects that a request has objects of, each before its own."""
    for name in re.findall(r'"#/components/schemas/(\w+)"', json.dumps(schema)):
        if "properties" in schemas[name]:
            yield name
            yield from _parts(schemas[name], schemas)


def _answers(document: Mapping[str, Any]) -> Iterator[str]:
    schemas = document["components"]["schemas"]
    for name in DOCUMENTS:
        yield f"### {name}\n"
        if description := schemas[name].get("description"):
            yield f"{_line(description)}\n"
        yield _fields(schemas[name])


def _fields(schema: Mapping[str, Any]) -> str:
    required = set(schema.get("required", ()))
    rows = ["| field | type | default | |", "| --- | --- | --- | --- |"]
    for name, field in schema["properties"].items():
        default = "required" if name in required else default_of(field)
        rows.append(
            f"| `{name}` | {type_of(field)} | {default} | {_line(field.get('description', ''))} |"
        )
    return "\n".join(rows) + "\n"


def _line(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _statuses() -> str:
    rows = ["| status | meaning |", "| --- | --- |"]
    return "\n".join([*rows, *(f"| {code} | {said} |" for code, said in MEANINGS.items())]) + "\n"


def _codes() -> str:
    rows = ["| code | status | what to do |", "| --- | --- | --- |"]
    for code, error in sorted(by_code().items()):
        if error is not RylaError and not issubclass(error, NOT_OVER_HTTP):
            again = "It may pass: the pipeline tries again." if error.retryable else ""
            hint = error.default_hint or again
            rows.append(f"| `{code}` | {error.http_status} | {_line(hint)} |")
    return "\n".join(rows) + "\n"


if __name__ == "__main__":
    PATH.write_text(render(), "utf-8")
