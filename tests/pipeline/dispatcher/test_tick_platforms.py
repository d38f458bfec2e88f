"""A route on two platforms, in time that stands still: where its jobs go while one of them refuses
them, takes them and starts nothing, or has lost its dispatcher."""

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.errors import EngineUnavailable
from pipeline.contract.keys import inbox_key
from pipeline.contract.lease import Lease, Overflow, Phase
from pipeline.contract.result import Status
from pipeline.dispatcher.dispatcher import Dispatcher
from pipeline.queue.claim import Claimant, claim
from pipeline.queue.platforms import Placement
from pipeline.queue.protocol import Started
from pipeline.queue.runner import run
from pipeline.queue.spawn import SpawnPayload
from pipeline.queue.start_steps import Execution, Start
from pipeline.store.base import Entry
from pipeline.worker.execution import execute
from tests.pipeline.conftest import MakePipeline
from tests.support.manifests import body
from tests.support.pipeline_fixture import NOON, PipelineFixture

ROUTES = """
[routes.Flux]
platforms = ["modal", "runpod"]
overflow_after_s = 60
down_after_s = 300
max_in_flight = 100

[routes.ZImage]
platforms = ["modal", "runpod"]
"""


LONG_KEY = inbox_key("job-1", priority=5, tenant="acme", model="flux-dev")


@dataclass
class TwoPlatforms:
    """Keeps what it is given, by platform."""

    refusing: set[str] = field(default_factory=set)
    given: dict[str, list[SpawnPayload]] = field(
        default_factory=lambda: {"modal": [], "runpod": []}
    )
    cancelled: list[str] = field(default_factory=list)
    spawned: Counter[str] = field(default_factory=Counter)
    """By claim."""

    def submit(self, route: str, payload: SpawnPayload) -> str:
        self.spawned[payload.claim] += 1
        platform = payload.platform or "modal"
        if platform in self.refusing:
            raise EngineUnavailable(f"{platform} takes no job")
        self.given[platform].append(payload)
        return f"{payload.platform}/{payload.claim}"

    def cancel(self, call_id: str) -> None:
        self.cancelled.append(call_id)

    def ids(self, platform: str) -> list[str]:
        return [payload.id for payload in self.given[platform]]


@pytest.fixture
def engine() -> TwoPlatforms:
    return TwoPlatforms()


@pytest.fixture
def pipeline(make_pipeline: MakePipeline) -> PipelineFixture:
    return make_pipeline(routes=ROUTES)


Dispatchers = Callable[..., Dispatcher]


@pytest.fixture
def dispatcher(pipeline: PipelineFixture, engine: TwoPlatforms) -> Dispatchers:
    def make(owner: str = "d", *platforms: str) -> Dispatcher:
        return _dispatcher(pipeline, engine, owner, *platforms)

    return make


def _dispatcher(
    pipeline: PipelineFixture, engine: TwoPlatforms, owner: str, *platforms: str
) -> Dispatcher:
    made = pipeline.another(owner, engine)
    return Dispatcher(
        *(made.store, made.engine, made.sender, made.runtime, made.pool, made.owner),
        jitter=made.jitter,
        platforms=frozenset(platforms or ("modal", "runpod")),
    )


def start(pipeline: PipelineFixture, payload: SpawnPayload) -> None:
    """As a worker begins, and goes on for a while."""
    assert start_if_wanted(pipeline, payload, 60.0)


def start_if_wanted(
    pipeline: PipelineFixture, payload: SpawnPayload, running_s: float = 1000.0
) -> bool:
    """The same; whether its lease was still that of the payload."""
    assert payload.lease is not None
    execution = Execution("w", "w", None, running_s, 0.001, pipeline.store.now(), 3)
    ended = run(Start(execution, payload.lease, payload.etag), pipeline.store)
    return isinstance(ended, Started)


def work(pipeline: PipelineFixture, payload: SpawnPayload) -> str:
    ending = execute(payload, pipeline.context, call_id=None)
    pipeline.deliver()
    return ending.value


def test_while_all_is_well_jobs_go_to_the_first(
    pipeline: PipelineFixture, engine: TwoPlatforms, dispatcher: Dispatchers
) -> None:
    pipeline.submit("job-1")
    pipeline.tick(dispatcher())
    assert engine.ids("modal") == ["job-1"]
    lease = pipeline.lease("job-1")
    assert (lease.platform, lease.overflow, lease.ttl_s) == ("modal", Overflow.OPEN, 60)
    assert work(pipeline, engine.given["modal"][0]) == "committed"
    assert pipeline.result("job-1").status is Status.SUCCEEDED


def test_a_refused_job_goes_to_the_other_in_the_next_tick_under_another_claim(
    pipeline: PipelineFixture, engine: TwoPlatforms, dispatcher: Dispatchers
) -> None:
    engine.refusing.add("modal")
    for number in range(3):
        pipeline.submit(f"job-{number}")
    one = dispatcher()
    assert pipeline.tick(one).failed == 3
    lease = pipeline.lease("job-0")
    assert (lease.phase, lease.failures, lease.waits) == (Phase.RETRY, 0, 0)
    assert lease.error is not None
    assert lease.error.code == "engine_unavailable"
    assert pipeline.tick(one).spawned == 3
    assert sorted(engine.ids("runpod")) == ["job-0", "job-1", "job-2"]
    pipeline.submit("job-3")
    pipeline.tick(one)
    assert engine.ids("runpod")[3:] == ["job-3"], "nobody asks the modal meanwhile"
    assert set(engine.spawned.values()) == {1}


def test_each_route_is_judged_by_its_own_jobs(
    pipeline: PipelineFixture, engine: TwoPlatforms, dispatcher: Dispatchers
) -> None:
    engine.refusing.add("modal")
    one = dispatcher()
    pipeline.submit("flux")
    pipeline.tick(one)
    pipeline.tick(one)
    engine.refusing.clear()
    pipeline.submit("z-image", body(model="z-image-turbo", input={"steps": 8}))
    pipeline.submit("another")
    pipeline.tick(one)
    assert (engine.ids("runpod"), engine.ids("modal")) == (["flux", "another"], ["z-image"])


def test_another_dispatcher_learns_it_from_the_leases(
    pipeline: PipelineFixture, engine: TwoPlatforms, dispatcher: Dispatchers
) -> None:
    engine.refusing.add("modal")
    pipeline.submit("job-1")
    one, other = dispatcher(), dispatcher("other")
    pipeline.tick(one)
    pipeline.submit("job-2")
    pipeline.tick(other)
    assert sorted(engine.ids("runpod")) == ["job-1", "job-2"]


def test_what_nobody_starts_overflows_once_and_its_call_is_cancelled(
    pipeline: PipelineFixture, engine: TwoPlatforms, dispatcher: Dispatchers
) -> None:
    pipeline.submit("job-1")
    one = dispatcher()
    pipeline.tick(one)
    pipeline.pass_time(60)
    assert pipeline.tick(one).taken_over == 0
    pipeline.pass_time(1)
    assert pipeline.tick(one).spawned == 1
    left = engine.given["modal"][0]
    assert engine.cancelled == [f"modal/{left.claim}"]
    assert engine.ids("runpod") == ["job-1"]
    lease = pipeline.lease("job-1")
    assert (lease.waits, lease.failures, lease.ttl_s) == (0, 0, 900)
    assert lease.overflow is Overflow.DONE
    assert lease.spent.upper_bound
    assert lease.spent.usd > 0
    assert work(pipeline, left) == "stale"
    assert work(pipeline, engine.given["runpod"][0]) == "committed"
    pipeline.pass_time(2000)
    pipeline.tick(one)
    assert set(engine.spawned.values()) == {1}


def test_who_did_not_spawn_a_job_takes_it_over_and_cancels_nothing(
    pipeline: PipelineFixture, engine: TwoPlatforms, dispatcher: Dispatchers
) -> None:
    pipeline.submit("job-1")
    pipeline.tick(dispatcher())
    pipeline.pass_time(61)
    pipeline.tick(dispatcher("other", "runpod"))
    assert engine.ids("runpod") == ["job-1"]
    assert engine.cancelled == []


def test_after_its_overflow_a_job_waits_as_long_as_any_and_that_is_counted(
    pipeline: PipelineFixture, engine: TwoPlatforms, dispatcher: Dispatchers
) -> None:
    pipeline.submit("job-1")
    one = dispatcher()
    pipeline.tick(one)
    pipeline.pass_time(61)
    pipeline.tick(one)
    pipeline.pass_time(899)
    assert pipeline.tick(one).taken_over == 0
    pipeline.pass_time(2)
    pipeline.tick(one)
    lease = pipeline.lease("job-1")
    assert (lease.waits, lease.overflow) == (1, Overflow.DONE)


def test_a_mute_platform_is_probed_by_one_job_and_is_up_once_that_starts(
    pipeline: PipelineFixture, engine: TwoPlatforms, dispatcher: Dispatchers
) -> None:
    pipeline.submit("first")
    one = dispatcher()
    pipeline.tick(one)
    pipeline.pass_time(61)
    pipeline.tick(one)
    pipeline.submit("early")
    pipeline.tick(one)
    assert engine.ids("runpod") == ["first", "early"]
    pipeline.pass_time(300)
    for number in range(3):
        pipeline.submit(f"late-{number}")
    pipeline.tick(one)
    pipeline.submit("later")
    pipeline.tick(one)
    assert engine.ids("modal") == ["first", "late-0"], "one probe, until it starts"
    start(pipeline, engine.given["modal"][1])
    pipeline.submit("last")
    pipeline.tick(one)
    assert engine.ids("modal") == ["first", "late-0", "last"]


def test_with_both_away_jobs_pause_and_are_not_lost(
    pipeline: PipelineFixture, engine: TwoPlatforms, dispatcher: Dispatchers
) -> None:
    engine.refusing |= {"modal", "runpod"}
    pipeline.submit("job-1")
    one = dispatcher()
    for _ in range(3):
        pipeline.tick(one)
    assert sum(engine.spawned.values()) == 2, "each once, and then it pauses"
    engine.refusing.clear()
    for _ in range(3):
        pipeline.pass_time(10)
        pipeline.tick(one)
    assert sum(map(len, engine.given.values())) == 1
    assert pipeline.lease("job-1").failures == 0


def test_a_bare_key_is_read_first_because_its_route_decides(
    pipeline: PipelineFixture, engine: TwoPlatforms, dispatcher: Dispatchers
) -> None:
    pipeline.submit("job-1", key="inbox/job-1.json")
    pipeline.tick(dispatcher())
    assert pipeline.lease("job-1").platform == "modal"


def claim_unread(pipeline: PipelineFixture, platform: str) -> None:
    """By a dispatcher that died before it read the job."""
    pipeline.submit("job-1")
    claimant = Claimant("dead", "dead", Placement(60, platform, Overflow.OPEN))
    entry = pipeline.store.list("inbox/").entries[0]
    pipeline.store.create("leases/job-1.json", claim(entry, claimant).task.lease.body())


def test_a_claim_whose_dispatcher_died_before_it_read_the_job_is_taken_over(
    pipeline: PipelineFixture, engine: TwoPlatforms, dispatcher: Dispatchers
) -> None:
    claim_unread(pipeline, "modal")
    one = dispatcher()
    pipeline.tick(one)
    pipeline.pass_time(61)
    assert pipeline.tick(one).spawned == 1
    lease = pipeline.lease("job-1")
    assert (lease.lost_claims, lease.outages) == (1, ())
    assert (lease.platform, lease.overflow) == ("modal", Overflow.OPEN)
    pipeline.pass_time(61)
    pipeline.tick(one)
    assert engine.ids("runpod") == ["job-1"]


def test_an_unread_claim_is_not_spawned_where_this_dispatcher_cannot(
    pipeline: PipelineFixture, engine: TwoPlatforms, dispatcher: Dispatchers
) -> None:
    claim_unread(pipeline, "north")
    one = dispatcher()
    pipeline.tick(one)
    pipeline.pass_time(61)
    assert pipeline.tick(one).spawned == 1
    lease = pipeline.lease("job-1")
    assert (lease.platform, lease.ttl_s) == (None, 900)


@pytest.mark.parametrize("key", ["inbox/job-1.json", LONG_KEY])
def test_an_entry_beside_a_vacant_lease_begins_anew(
    pipeline: PipelineFixture, engine: TwoPlatforms, dispatcher: Dispatchers, key: str
) -> None:
    claimant = Claimant("dead", "dead", Placement(60, "modal", Overflow.OPEN))
    vacant = claim(Entry(key, "e", 1, NOON), claimant).task.lease.vacated()
    pipeline.store.create("leases/job-1.json", vacant.body())
    one = dispatcher()
    pipeline.tick(one)
    pipeline.pass_time(10)
    pipeline.submit("job-1", body(tenant="acme"), key=key)
    assert pipeline.tick(one).spawned == 1
    lease = pipeline.lease("job-1")
    if key == LONG_KEY:
        assert (lease.platform, lease.ttl_s) == ("modal", 60)
    else:
        assert (lease.platform, lease.ttl_s) == (None, 900)


def test_a_dispatcher_sends_only_where_it_can(
    pipeline: PipelineFixture, engine: TwoPlatforms, dispatcher: Dispatchers
) -> None:
    pipeline.submit("job-1")
    pipeline.tick(dispatcher("d", "runpod"))
    assert engine.ids("runpod") == ["job-1"]
    lease = pipeline.lease("job-1")
    assert (lease.overflow, lease.ttl_s) == (Overflow.NONE, 900)


# ── whatever happens, in any order ────────────────────────────────────────────────────────────────

STEPS = st.sampled_from(
    [
        "submit",
        "tick",
        "other",
        "only runpod",
        "wait",
        "wait long",
        "refuse",
        "take",
        "work",
        "again",
    ]
)


@settings(max_examples=20, deadline=None)
@given(steps=st.lists(STEPS, max_size=25), seed=st.integers(0, 9))
def test_every_job_ends_once_and_overflows_once_at_most(
    tmp_path_factory: pytest.TempPathFactory, steps: list[str], seed: int
) -> None:
    pipeline = PipelineFixture(routes=ROUTES, tmp_path=tmp_path_factory.mktemp("platforms"))
    try:
        _Story(pipeline, random.Random(seed)).tell(steps)
    finally:
        pipeline.close()


class _Story:
    def __init__(self, pipeline: PipelineFixture, draw: random.Random) -> None:
        self.pipeline, self.draw, self.engine = pipeline, draw, TwoPlatforms()
        self.one, self.other, self.runpod = (
            _dispatcher(pipeline, self.engine, name, *platforms)
            for name, platforms in (("one", ()), ("other", ()), ("runpod", ("runpod",)))
        )
        self.jobs = 0
        self.endings: Counter[tuple[str, str]] = Counter()

    def tell(self, steps: list[str]) -> None:
        for step in [*steps, "submit"]:
            self.step(step)
            self.check()
        self.engine.refusing.clear()
        for _ in range(8):
            self.tick(self.one)
            while self.any_given():
                self.step("work")
            self.pipeline.pass_time(1000)
        for number in range(self.jobs):
            assert self.pipeline.result(f"job-{number}").status is Status.SUCCEEDED
            assert self.endings[f"job-{number}", "committed"] == 1
        assert set(self.engine.spawned.values()) == {1}, "no claim was spawned twice"

    def step(self, step: str) -> None:
        match step:
            case "submit":
                self.pipeline.submit(f"job-{self.jobs}")
                self.jobs += 1
            case "tick" | "other" | "only runpod":
                self.tick({"tick": self.one, "other": self.other, "only runpod": self.runpod}[step])
            case "wait":
                self.pipeline.pass_time(30)
            case "wait long":
                self.pipeline.pass_time(310)
            case "refuse":
                self.engine.refusing.add(self.draw.choice(["modal", "runpod"]))
            case "take":
                self.engine.refusing.clear()
            case "work" | "again":
                self.work(again=step == "again")

    def tick(self, dispatcher: Dispatcher) -> None:
        self.pipeline.tick(dispatcher)

    def any_given(self) -> list[tuple[str, SpawnPayload]]:
        return [(name, each) for name, given in self.engine.given.items() for each in given]

    def work(self, *, again: bool) -> None:
        """Of any platform, any job that it has, perhaps once more."""
        if not self.any_given():
            return
        name, payload = self.draw.choice(self.any_given())
        if not again:
            self.engine.given[name].remove(payload)
        self.endings[payload.id, work(self.pipeline, payload)] += 1

    def check(self) -> None:
        for key in self.pipeline.keys("leases/"):
            id = key.removeprefix("leases/").removesuffix(".json")
            lease: Lease = self.pipeline.lease(id)
            assert lease.failures == 0
            assert lease.overflow is not Overflow.OPEN or lease.ttl_s == 60 or lease.started_at
