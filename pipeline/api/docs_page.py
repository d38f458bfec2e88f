"""`/docs`: the OpenAPI document as one page, to read and to try out.

It loads nothing from anywhere: it works without internet, and tells no other host who reads it.
"""

import base64
import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from fastapi import FastAPI
from markupsafe import Markup, escape
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from pipeline.pages.html import render

Document = Mapping[str, Any]


def add_reference(app: FastAPI) -> None:
    """`/docs`, written when it is first asked for."""
    made: dict[str, HTMLResponse] = {}

    async def docs(request: Request) -> Response:  # noqa: ARG001
        if "page" not in made:
            page = rendered(app.openapi())
            made["page"] = HTMLResponse(page, headers={"Content-Security-Policy": policy(page)})
        return made["page"]

    app.add_route("/docs", docs, include_in_schema=False)


def rendered(document: Document) -> str:
    return render(
        "pipeline.api",
        "docs_page.html.j2",
        {"type_of": type_of, "default_of": default_of, "marked": _marked},
        document=document,
        operations=list(_operations(document)),
        schemas=document["components"]["schemas"],
    )


def policy(page: str) -> str:
    """Nothing but the page's own script may run, and it may ask nobody but this server."""
    script = page.partition("<script>")[2].partition("</script>")[0]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline';"
        " connect-src 'self'; img-src blob: data:; base-uri 'none'; form-action 'none';"
        " frame-ancestors 'none'"
    )


def _operations(document: Document) -> Iterator[dict[str, Any]]:
    """Each with its method, path, the name of its body's schema and an example of that."""
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            content = operation.get("requestBody", {}).get("content", {})
            body = type_of(content["application/json"]["schema"]) if content else None
            schema = document["components"]["schemas"].get(body, {})
            example = json.dumps(schema.get("examples", [{}])[0], indent=2, ensure_ascii=False)
            more = {"method": method.upper(), "path": path, "body": body, "example": example}
            yield {"parameters": [], **operation, **more}


def _marked(text: str) -> Markup:
    """Text with what stands between backticks as code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))


def type_of(field: Document) -> str:
    """A schema in a word or two."""
    if "$ref" in field:
        return str(field["$ref"]).rpartition("/")[2]
    for either in ("anyOf", "oneOf"):
        if either in field:
            return " or ".join(type_of(each) for each in field[either])
    if "enum" in field or "const" in field:
        return ", ".join(f"`{each}`" for each in field.get("enum", [field.get("const")]))
    kind = str(field.get("type", "any"))
    if kind == "array":
        return f"list of {type_of(field.get('items', {}))}"
    low, high = field.get("minimum"), field.get("maximum")
    return f"{kind} {low} to {high}" if low is not None and high is not None else kind


def default_of(field: Document) -> str:
    """As JSON in backticks; empty for none or null."""
    value = field.get("default")
    return "" if value is None else f"`{json.dumps(value)}`"
