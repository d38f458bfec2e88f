"""The kind `workflow` from the inbox to its result."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.contract.result import Result, Status
from pipeline.store.base import Always
from tests.support.pipeline_fixture import PipelineFixture

GRAPHS = Path(__file__).parents[2] / "handlers/workflow_graph/graphs"


@pytest.fixture
def pipeline() -> Iterator[PipelineFixture]:
    pipeline = PipelineFixture()
    yield pipeline
    pipeline.close()


def submitted(pipeline: PipelineFixture, graph: str, **more: Any) -> Result:
    workflow = json.loads((GRAPHS / f"{graph}.json").read_text())
    given = {"workflow": workflow, "prompt": "a cat", **more}
    body = json.dumps({"version": 1, "model": "workflow", "input": given}).encode()
    pipeline.raw.put("inbox/one.json", body, Always())
    pipeline.tick()
    return pipeline.result("one")


def test_a_callers_graph_ends_in_outputs(pipeline: PipelineFixture) -> None:
    result = submitted(pipeline, "flux_base")

    assert (result.status, result.error) == (Status.SUCCEEDED, None)
    [output] = result.outputs
    assert output.key == "jobs/one/out/a1/output-0.png"
    assert (output.width, output.height, output.content_type) == (256, 256, "image/png")
    assert result.events[-1].event == "modal_workflow_generation_completed"


@pytest.mark.parametrize(
    ("graph", "more", "code"),
    [
        ("danrisi", {}, "node_missing"),
        ("danrisi_lora", {}, "graph_rejected"),
        ("ui_format", {"prompt": None}, "invalid_field"),
        ("flux_base", {"prompt": "nude child"}, "prompt_refused"),
        ("flux_base", {"nsfw": True}, "nsfw_not_allowed"),
        ("sdxl_instantid", {"inputs": {"reference": "inputs/none.png"}}, "missing_input"),
    ],
)
def test_a_graph_that_cannot_run_is_refused_before_a_worker_starts(
    pipeline: PipelineFixture, graph: str, more: dict[str, Any], code: str
) -> None:
    result = submitted(pipeline, graph, **more)

    assert result.error is not None
    assert (result.status, result.error.code) == (Status.REJECTED, code)
    assert result.metrics is None
    ended = result.events[-1]
    assert ended.event == "modal_workflow_generation_failed"
    assert ended.properties["refused"] is True
