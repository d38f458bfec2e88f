import json
from collections.abc import Iterator

import pytest

from pipeline.contract.schemas import DIALECT, SCHEMAS, schema
from tests.support.pipeline_fixture import PipelineFixture


@pytest.fixture
def pipeline() -> Iterator[PipelineFixture]:
    pipeline = PipelineFixture()
    yield pipeline
    pipeline.close()


@pytest.mark.parametrize("name", SCHEMAS)
def test_each_is_a_document_that_says_what_it_describes(name: str) -> None:
    made = schema(name)

    assert made["$schema"] == DIALECT
    assert made["title"] == f"ryla {name}"
    assert json.loads(json.dumps(made)) == made


@pytest.mark.parametrize(
    ("name", "model", "field", "said"),
    [
        ("metrics", None, "queue", "Manifest written → claimed."),
        ("result", "JobCost", "cold_usd", "The share of `usd` that paid for a cold start."),
        ("result", "ErrorInfo", "field", "Path of what is at fault, such as `input.width`."),
        ("result", "SetVerdict", "worst", "Name of the view with the least match."),
        ("sheet", None, "usd", None),
    ],
)
def test_fields_of_what_is_written_say_what_they_mean_where_their_name_does_not(
    name: str, model: str | None, field: str, said: str | None
) -> None:
    made = schema(name)
    about = made if model is None else made["$defs"][model]
    assert about["properties"][field].get("description") == said


def test_seconds_and_dollars_of_a_result_are_named_by_what_holds_them() -> None:
    parts = schema("result")["$defs"]
    assert parts["Metrics"]["description"].startswith("Seconds by part.")
    assert parts["JobCost"]["description"].startswith("US dollars")


def test_manifests_are_told_apart_by_their_model() -> None:
    mapping = schema("manifest")["discriminator"]["mapping"]

    assert {"flux-dev", "flux-schnell"} <= set(mapping)


def test_what_the_pipeline_writes_has_the_members_of_its_schema(pipeline: PipelineFixture) -> None:
    pipeline.submit("one")
    pipeline.tick()
    result = json.loads(pipeline.result("one").body())

    for name, document in (
        ("result", result),
        ("metrics", result["metrics"]),
        ("event", result["events"][0]),
    ):
        made = schema(name)
        assert set(made["required"]) <= set(document) <= set(made["properties"]), name
