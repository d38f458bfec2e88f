"""Dispatchers of one bucket whose tables differ: no job is lost or ends twice, none goes to and fro
between them without end, and each keeps its own budgets."""

from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from config.budgets import NO_BUDGETS, load_budgets
from config.errors import EngineUnavailable
from config.routes import load_routes
from pipeline.contract.lease import Overflow, Phase
from pipeline.contract.result import Status
from pipeline.dispatcher.dispatcher import Dispatcher
from pipeline.queue.spawn import SpawnPayload
from pipeline.worker.execution import execute
from tests.pipeline.conftest import MakePipeline
from tests.pipeline.dispatcher.test_tick_budgets import put, spend
from tests.support.manifests import body
from tests.support.pipeline_fixture import PipelineFixture


@dataclass
class Platform:
    """What one dispatcher spawns on: takes jobs and starts none, unless it refuses."""

    default: str
    refuses: bool = False
    given: list[SpawnPayload] = field(default_factory=list)
    asked: int = 0

    def submit(self, route: str, payload: SpawnPayload) -> str:
        self.asked += 1
        if self.refuses:
            raise EngineUnavailable(f"{self.default} takes no job")
        self.given.append(payload)
        return payload.claim

    def cancel(self, call_id: str) -> None:
        pass


class Fleet:
    """Makes dispatchers over one bucket, each with tables of its own."""

    def __init__(self, pipeline: PipelineFixture, folder: Path) -> None:
        self.pipeline, self._folder = pipeline, folder

    def dispatcher(
        self,
        default: str,
        routes: str | None = None,
        *platforms: str,
        budgets: str | None = None,
        refuses: bool = False,
    ) -> tuple[Dispatcher, Platform]:
        engine = Platform(default, refuses)
        made = self.pipeline.another(default, engine)
        runtime = replace(
            made.runtime,
            platform=default,
            routes=load_routes(self._written("routes", routes) if routes else None),
            budgets=load_budgets(self._written("budgets", budgets)) if budgets else NO_BUDGETS,
        )
        named = frozenset(platforms or (default,))
        return replace(_apart(made), runtime=runtime, platforms=named), engine

    def _written(self, name: str, text: str) -> Path:
        path = self._folder / f"{name}.toml"
        path.write_text(text)
        return path

    def go_on(self, seconds: int, step_s: float, *dispatchers: Dispatcher) -> None:
        """All of them tick every `step_s`."""
        for _ in range(round(seconds / step_s)):
            for each in dispatchers:
                self.pipeline.tick(each)
            self.pipeline.pass_time(step_s)


def _apart(dispatcher: Dispatcher) -> Dispatcher:
    """With nothing that another process remembers."""
    return Dispatcher(
        dispatcher.store,
        dispatcher.engine,
        dispatcher.sender,
        dispatcher.runtime,
        dispatcher.pool,
        dispatcher.owner,
        jitter=dispatcher.jitter,
    )


@pytest.fixture
def fleet(make_pipeline: MakePipeline, tmp_path: Path) -> Fleet:
    return Fleet(make_pipeline(holding=True), tmp_path)


BOTH = '[routes.Flux]\nplatforms = ["modal", "runpod"]\noverflow_after_s = 60\n'
TURNED = '[routes.Flux]\nplatforms = ["runpod", "modal"]\noverflow_after_s = 60\n'
HOUR = 3600


def work(fleet: Fleet, *platforms: Platform) -> list[str]:
    payloads = [payload for each in platforms for payload in each.given]
    endings = [execute(each, fleet.pipeline.context, call_id=None).value for each in payloads]
    fleet.pipeline.deliver()
    return sorted(endings)


def test_where_the_orders_differ_a_job_overflows_once_and_stays(fleet: Fleet) -> None:
    one, at_one = fleet.dispatcher("modal", BOTH, "modal", "runpod")
    other, at_other = fleet.dispatcher("runpod", TURNED, "modal", "runpod")
    put(fleet.pipeline, "a")
    fleet.go_on(850, 10, one, other)
    spawned = [payload.platform for payload in (*at_one.given, *at_other.given)]
    assert sorted(map(str, spawned)) == ["modal", "runpod"]
    assert fleet.pipeline.lease("a").overflow is Overflow.DONE
    assert work(fleet, at_one, at_other) == ["committed", "stale"]


@pytest.mark.parametrize("knows", [None, '[routes.Flux]\nplatforms = ["modal"]\n'])
def test_one_that_knows_of_no_other_platform_lets_a_job_wait_as_long_as_any(
    fleet: Fleet, knows: str | None
) -> None:
    """It would else be claimed anew every overflow_after_s without end, and count as no wait."""
    one, at_one = fleet.dispatcher("modal", BOTH, "modal", "runpod")
    other, at_other = fleet.dispatcher("modal", knows)
    put(fleet.pipeline, "a")
    fleet.go_on(20, 10, one)
    fleet.go_on(HOUR, 10, other)  # the first is gone
    lease = fleet.pipeline.lease("a")
    assert lease.overflow is Overflow.DONE
    assert lease.spent.usd > 0
    assert lease.waits == len(at_other.given) - 1 == 3
    assert work(fleet, at_one, at_other) == ["committed", *["stale"] * 4]


def test_where_only_one_knows_of_platforms_a_job_does_not_go_to_and_fro(fleet: Fleet) -> None:
    one, at_one = fleet.dispatcher("modal", BOTH, "modal", "runpod")
    other, at_other = fleet.dispatcher("runpod")
    put(fleet.pipeline, "a")
    fleet.go_on(6 * HOUR, 60, one, other)
    assert at_one.asked + at_other.asked <= 1 + 20 + 6 * HOUR / 900
    fleet.go_on(6 * HOUR, 60, other, one)
    assert fleet.pipeline.result("a").status is Status.FAILED
    error = fleet.pipeline.result("a").error
    assert error is not None
    assert error.code == "never_started"


def test_a_job_that_ones_only_platform_refuses_is_for_the_other_at_once(fleet: Fleet) -> None:
    one, at_one = fleet.dispatcher("modal", BOTH, refuses=True)
    other, at_other = fleet.dispatcher("runpod", BOTH)
    put(fleet.pipeline, "a")
    fleet.go_on(3, 1, one)
    assert at_one.asked == 1, "which would be first each time"
    fleet.pipeline.tick(other)
    assert work(fleet, at_other) == ["committed"]


def test_where_the_other_is_gone_it_is_tried_again_after_down_after_s(fleet: Fleet) -> None:
    one, at_one = fleet.dispatcher("modal", BOTH, refuses=True)
    put(fleet.pipeline, "a")
    fleet.go_on(20, 10, one)
    at_one.refuses = False
    fleet.go_on(310, 10, one)
    assert work(fleet, at_one) == ["committed"]


def test_where_each_has_a_platform_of_its_own_that_refuses_they_pause(fleet: Fleet) -> None:
    one, at_one = fleet.dispatcher("modal", BOTH, refuses=True)
    other, at_other = fleet.dispatcher("runpod", TURNED, refuses=True)
    put(fleet.pipeline, "a")
    fleet.go_on(HOUR, 5, one, other)
    assert at_one.asked + at_other.asked < 40
    at_other.refuses = False
    fleet.go_on(310, 5, one, other)  # the first comes first each time
    assert work(fleet, at_other) == ["committed"]


def test_a_platform_that_one_lacks_is_passed_over_by_it_alone(fleet: Fleet) -> None:
    one, at_one = fleet.dispatcher("modal", BOTH)
    other, at_other = fleet.dispatcher("runpod", BOTH)
    for name in "abcd":
        put(fleet.pipeline, name)
        fleet.pipeline.tick(one if name in "ac" else other)
    assert {payload.id for payload in at_one.given} == {"a", "c"}
    assert {payload.id for payload in at_other.given} == {"b", "d"}
    assert work(fleet, at_one, at_other) == ["committed"] * 4


# Budgets


def test_each_keeps_its_own_budgets_so_the_most_generous_one_bounds(fleet: Fleet) -> None:
    strict, at_strict = fleet.dispatcher("modal", budgets="[budgets.total]\nusd = 1\n")
    loose, at_loose = fleet.dispatcher("modal", budgets="[budgets.total]\nusd = 2\n")
    spend(fleet.pipeline, "old", 1.0)
    put(fleet.pipeline, "a")
    fleet.go_on(30, 1, strict)
    assert not at_strict.given
    fleet.go_on(2, 1, strict, loose)
    assert [payload.id for payload in at_loose.given] == ["a"]
    spend(fleet.pipeline, "older", 1.0)
    put(fleet.pipeline, "b")
    fleet.go_on(HOUR, 30, strict, loose)
    assert not [each for each in (*at_strict.given, *at_loose.given) if each.id == "b"]


def test_a_share_is_told_once_by_whichever_budget_of_that_name_reaches_it_first(
    fleet: Fleet,
) -> None:
    strict, _ = fleet.dispatcher("modal", budgets="[budgets.total]\nusd = 1\n")
    loose, _ = fleet.dispatcher("modal", budgets="[budgets.total]\nusd = 2\n")
    spend(fleet.pipeline, "old", 0.6)
    fleet.go_on(2, 1, strict, loose)
    spend(fleet.pipeline, "older", 0.6)
    put(fleet.pipeline, "a")
    fleet.go_on(2, 1, strict, loose)
    keys = [f"alarms/2026-03-01/total.{percent}.json" for percent in (100, 50, 80)]
    assert fleet.pipeline.keys("alarms/") == keys
    assert fleet.pipeline.event_names().count("modal_budget_reached") == 3


@pytest.mark.parametrize("key", ["inbox/a.json", "inbox/4.acme.flux-dev.a.json"])
def test_a_job_that_waits_for_a_budget_of_the_one_is_not_claimed_again_and_again(
    fleet: Fleet, key: str
) -> None:
    rows = '[budgets.{}]\ntenant = "acme"\nusd = 1\n'
    one, at_one = fleet.dispatcher("modal", budgets=rows.format("ours"))
    other, at_other = fleet.dispatcher("modal", budgets=rows.format("theirs"))
    spend(fleet.pipeline, "old", 0.9999)
    fleet.pipeline.submit("", body(tenant="acme"), key=key)
    fleet.go_on(10, 1, one, other)
    fleet.pipeline.raw.calls.clear()
    fleet.go_on(60, 1, one, other)
    assert not fleet.pipeline.raw.calls["PUT"]
    assert fleet.pipeline.lease("a").phase is Phase.RETRY
    assert not at_one.given + at_other.given
    fleet.pipeline.pass_time(13 * HOUR)
    fleet.go_on(10, 1, one, other)
    assert len(at_one.given + at_other.given) == 1
