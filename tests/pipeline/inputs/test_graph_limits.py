"""Limits of a caller's graph that need the tables, or the pictures of the job."""

import json
from typing import Any

import pytest

from config.errors import GraphRejected, OverBudget
from config.settings import Settings
from pipeline.contract.manifest import Manifest, parse_manifest
from pipeline.dispatcher.preflight import check_work
from pipeline.inputs.graph_limits import require_within_limits
from pipeline.inputs.supplies import InputChecker
from pipeline.runtime import RuntimeConfig, load_runtime
from pipeline.store.conditional import SafeStore
from pipeline.store.memory import MemoryStore
from tests.handlers.workflow_graph.test_demand import BY_4, chain, node
from tests.handlers.workflow_graph.test_kind import changed
from tests.support.portraits import portrait

RUNTIME = load_runtime(Settings(), "local")


def manifest(workflow: dict[str, Any], max_cost_usd: float | None = None, **input: Any) -> Manifest:
    body = {"version": 1, "model": "workflow", "input": {"workflow": workflow, **input}}
    return parse_manifest(json.dumps(body | {"max_cost_usd": max_cost_usd}).encode())


def slow(**inputs: Any) -> dict[str, Any]:
    return changed("6", **{"width": 2048, "height": 2048, "batch_size": 4} | inputs)


def test_a_graph_that_would_take_too_long_is_refused_with_the_seconds_and_the_node() -> None:
    slowest = slow()
    slowest["7"]["inputs"]["steps"] = 100

    with pytest.raises(GraphRejected, match=r"take \d,?\d+ s on L40S, at most 300 s") as caught:
        check_work("job", manifest(slowest, prompt="a cat"), RUNTIME)

    assert caught.value.field == "input.workflow.7"
    assert isinstance(caught.value.value, int)
    assert "RYLA_GRAPH_SECONDS" in str(caught.value.hint)


def test_the_operator_may_allow_more_or_less() -> None:
    def allowed(seconds: float) -> RuntimeConfig:
        return load_runtime(Settings(graph_seconds=seconds), "local")

    usual = manifest(changed("6", width=1024), prompt="a cat")
    require_within_limits(usual, allowed(300))
    with pytest.raises(GraphRejected):
        require_within_limits(usual, allowed(5))


def test_a_graph_has_an_estimate_that_a_budget_is_checked_against() -> None:
    usual = changed("6", width=1024)

    assert check_work("job", manifest(usual, 1.0, prompt="a cat"), RUNTIME).usd
    with pytest.raises(OverBudget):
        check_work("job", manifest(usual, 0.001, prompt="a cat"), RUNTIME)


def test_a_graph_that_its_picture_makes_too_large_is_refused_before_a_gpu_starts() -> None:
    graph = chain(node("LoadImage", image="a"), "image", BY_4, BY_4)
    store = SafeStore(MemoryStore())
    for name, side in (("small", 64), ("large", 1024)):
        store.create(f"inputs/{name}.png", portrait({}, size=(side, side)))

    def checked(name: str) -> None:
        given = manifest(graph, inputs={"a": f"inputs/{name}.png"})
        require_within_limits(given, RUNTIME)
        InputChecker(store, RUNTIME).check(given)

    checked("small")
    with pytest.raises(GraphRejected, match=r"1 x 16,384 x 16,384 pixels"):
        checked("large")
