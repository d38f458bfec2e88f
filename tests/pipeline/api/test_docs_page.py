"""`/docs`: everything there is, on a page that needs no other host."""

import base64
import hashlib
import re

import pytest
from markupsafe import escape

from pipeline.api.docs_page import default_of, type_of
from tests.support.api_fixture import ApiFixture

pytestmark = pytest.mark.anyio


async def test_the_page_has_every_operation_field_and_answer(api: ApiFixture) -> None:
    document = api.app.openapi()

    page = (await api.client.get("/docs")).text

    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            assert f"<code>{method.upper()} {path}</code> {escape(operation['summary'])}" in page
    for schema in document["components"]["schemas"].values():
        for name in schema.get("properties", {}):
            assert f"<code>{name}</code>" in page


async def test_it_loads_nothing_and_may_run_its_own_script_alone(api: ApiFixture) -> None:
    answer = await api.client.get("/docs")

    assert not re.search(r"(src|href)=\"?(https?:)?//|@import|url\(", answer.text)
    (script,) = re.findall(r"<script>(.*?)</script>", answer.text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = answer.headers["content-security-policy"].split("; ")
    assert f"script-src 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy


async def test_what_the_document_says_stands_there_as_text(api: ApiFixture) -> None:
    api.app.openapi()["paths"]["/health"]["get"]["summary"] = "<script>alert(1)</script>"

    page = (await api.client.get("/docs")).text

    assert page.count("<script>") == 1
    assert "&lt;script&gt;alert(1)" in page


def test_a_schema_in_a_word_or_two() -> None:
    assert type_of({"$ref": "#/components/schemas/Job"}) == "Job"
    assert type_of({"anyOf": [{"type": "string"}, {"type": "null"}]}) == "string or null"
    assert type_of({"enum": ["a", "b"]}) == "`a`, `b`"
    assert type_of({"type": "array", "items": {"type": "integer"}}) == "list of integer"
    assert type_of({"type": "integer", "minimum": 0, "maximum": 9}) == "integer 0 to 9"
    assert (default_of({"default": 0}), default_of({"default": None})) == ("`0`", "")
