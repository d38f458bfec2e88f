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
