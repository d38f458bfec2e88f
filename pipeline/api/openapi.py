"""The OpenAPI document: what the framework knows, and the bodies that are read by hand."""

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic.json_schema import models_json_schema

from handlers.kinds.registry import KINDS
from pipeline.api.body import body_model
from pipeline.api.problems import PROBLEM
from pipeline.api.schemas import Problem

_REF = "#/components/schemas/{model}"
HEADERS = {
    "ETag": "Of the picture: its sha256.",
    "Location": "Where to go on.",
    "Preference-Applied": "The wait that was taken into account.",
    "Retry-After": "Seconds until asking again makes sense.",
    "X-Cost-USD": "Of the execution that made it, with six decimals.",
    "X-Execution-Time-Sec": "Seconds from its start to its pictures being stored.",
    "X-GPU-Type": "A row of gpus.toml.",
    "X-Job-Id": "The job's id.",
    "X-LoRA-Used": "The LoRA's file name, if there was one.",
    "X-Model": "The job's kind.",
    "X-Outputs": "How many pictures the job has.",
    "X-Seed": "Of this picture.",
    "X-Warning": "What the caller should know about how it was read, or about its budget.",
}


def headers(*names: str) -> dict[str, Any]:
    return {name: {"description": HEADERS[name], "schema": {"type": "string"}} for name in names}


IMAGE_ANSWER: Mapping[str, Any] = {
    "content": {
        name: {"schema": {"type": "string", "format": "binary"}}
        for name in ("image/png", "image/jpeg", "image/webp", "video/mp4", "video/webm")
    },
    "headers": headers("ETag", *(name for name in HEADERS if name.startswith("X-"))),
}
MEANINGS = {
    400: "A header, a query parameter or the JSON itself is wrong.",
    401: "A key is needed, or it is not known.",
    402: "The job was refused: its lower estimate is above `max_cost_usd`.",
    403: "No key is configured and the request is not local; or the job was refused by policy.",
    404: "There is no such thing, or it is another tenant's.",
    408: "The body did not arrive in time; or the job's deadline passed.",
    409: "It is in another state than that asks for.",
    410: "An endpoint of the system before this one; `hint` says what to use.",
    413: "The body is too large.",
    415: "The body is not called JSON.",
    422: "A field is wrong; or the job was refused for what it asks.",
    429: "Too many requests, or too many jobs that wait or run.",
    500: "The job failed for a reason that nobody foresaw, or this server did.",
    501: "A part of the contract that is not available here.",
    502: "The job failed in ComfyUI.",
    503: "The store does not answer, or something that the job needs is missing.",
    504: "Not finished in all the time that was asked for; the job goes on.",
}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Answers of these statuses, each a problem."""
    schema = {"$ref": _REF.format(model=Problem.__name__)}
    return {
        status: {"description": MEANINGS[status], "content": {PROBLEM: {"schema": schema}}}
        for status in statuses
    }


def request_body(kind: str) -> dict[str, Any]:
    schema = {"$ref": _REF.format(model=body_model(kind).__name__)}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


def document(app: FastAPI, *, keyed: bool) -> dict[str, Any]:
    """`keyed` says whether a key is needed here."""
    made = get_openapi(
        title=app.title,
        version=app.version,
        description=app.description,
        routes=app.routes,
        tags=app.openapi_tags,
    )
    bodies = [(body_model(kind), "validation") for kind in KINDS]
    _, known = models_json_schema([*bodies, (Problem, "serialization")], ref_template=_REF)  # type: ignore[list-item]
    components = made.setdefault("components", {})
    components.setdefault("schemas", {}).update(known["$defs"])
    if keyed:
        components["securitySchemes"] = {
            "key": {"type": "http", "scheme": "bearer", "description": "A tenant's key."}
        }
    for name in ("HTTPValidationError", "ValidationError"):
        components["schemas"].pop(name, None)
    for path in made["paths"].values():
        for operation in path.values():
            _mend(operation, keyed=keyed)
    return made


def _mend(operation: dict[str, Any], *, keyed: bool) -> None:
    """As it is: parameters that are not given are left out, and none is answered with the
    framework's own 422."""
    for parameter in operation.get("parameters", ()):
        schema = parameter["schema"]
        if schema.pop("anyOf", None):
            schema.setdefault("type", "string")
        schema.pop("description", None)
    unprocessable = operation["responses"].get("422", {}).get("content", {})
    if "application/json" in unprocessable:
        del operation["responses"]["422"]
    if keyed and "401" in operation["responses"]:
        operation["security"] = [{"key": []}]
