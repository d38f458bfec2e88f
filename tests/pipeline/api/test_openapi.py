"""The OpenAPI document."""

from functools import cache
from typing import Any

import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from config.settings import Settings
from handlers.kinds.registry import KINDS
from pipeline.api.app import make_app
from pipeline.api.body import EXAMPLES
from pipeline.api.dependencies import ApiDependencies
from pipeline.api.paths import ENDPOINTS
from pipeline.runtime import load_runtime
from pipeline.store.conditional import SafeStore
from pipeline.store.memory import MemoryStore
from tests.support.api_fixture import keys


@cache
def document(**settings: str) -> dict[str, Any]:
    runtime = load_runtime(Settings.model_validate(settings), "local")
    dependencies = ApiDependencies(runtime, SafeStore(MemoryStore()))
    return make_app(dependencies).openapi()


def operations(**settings: str) -> list[tuple[str, dict[str, Any]]]:
    return [
        (f"{method.upper()} {path}", operation)
        for path, methods in document(**settings)["paths"].items()
        for method, operation in methods.items()
    ]


def test_every_path_that_takes_jobs_shows_its_kind_s_body() -> None:
    for endpoint in ENDPOINTS:
        assert (endpoint.path in document()["paths"]) == endpoint.available
        if endpoint.available:
            content = document()["paths"][endpoint.path]["post"]["requestBody"]["content"]
            name = content["application/json"]["schema"]["$ref"].rpartition("/")[2]
            shown = document()["components"]["schemas"][name]["properties"]
            assert {*KINDS[endpoint.kind].input_model.model_fields} <= {*shown}


@pytest.mark.parametrize("kind", KINDS)
def test_examples_fit_their_schemas(kind: str) -> None:
    schemas = document()["components"]["schemas"]
    name = document()["paths"][f"/{kind}"]["post"]["requestBody"]["content"]["application/json"]
    schema = {**name["schema"], "components": {"schemas": schemas}}

    Draft202012Validator(schema).validate(EXAMPLES[kind])


def test_every_reference_leads_somewhere() -> None:
    schemas = document()["components"]["schemas"]

    def references(node: Any) -> list[str]:
        if isinstance(node, dict):
            own = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
            return own + [each for value in node.values() for each in references(value)]
        if isinstance(node, list):
            return [each for value in node for each in references(value)]
        return []

    found = references(document())
    assert len(found) > 50
    assert {each.removeprefix("#/components/schemas/") for each in found} <= set(schemas)


def test_every_refusal_is_a_problem_and_every_operation_is_named_once() -> None:
    for name, operation in operations():
        for status, answer in operation["responses"].items():
            if int(status) >= 400:
                assert list(answer["content"]) == ["application/problem+json"], (name, status)
    ids = [operation["operationId"] for _, operation in operations()]
    assert len(set(ids)) == len(ids)


def test_what_needs_a_key_says_so() -> None:
    keyed = operations(api_keys=keys(acme="a"))
    open_to_all = {name for name, operation in keyed if "security" not in operation}

    assert not any("security" in operation for _, operation in operations())
    assert open_to_all == {"GET /health", "POST /doorbell/{token}"}


def test_no_answer_shows_what_is_for_dispatchers() -> None:
    shown = document()["components"]["schemas"]["JobResult"]["properties"]

    assert "outputs" in shown
    assert not {"events", "nonce"} & set(shown)
