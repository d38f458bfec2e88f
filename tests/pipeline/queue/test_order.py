"""The promises of the order, in virtual time: who waits how long, whatever else arrives."""

import random
from collections.abc import Sequence
from itertools import count
from statistics import mean
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.queue.backlog import BODIES, SEEKS, SWEEP_TICKS
from tests.support.order_simulation import OrderSimulation, Started

MINUTES = 60.0


def ids(seed: int = 1) -> Any:
    """Random ids, as UUIDs are."""
    numbers = random.Random(seed)
    return (f"{numbers.getrandbits(64):016x}" for _ in count())


def waits(started: Sequence[Started], **wanted: object) -> list[float]:
    return [
        each.waited_s
        for each in started
        if all(getattr(each.job, name) == value for name, value in wanted.items())
    ]


# ── no id is passed over, whatever its bytes ──────────────────────────────────────────────────────


def test_a_standing_backlog_is_served_in_the_order_in_which_it_came() -> None:
    """As many come as go, under random ids: the first in byte order must not win."""
    simulation, fresh = OrderSimulation({"Flux": 4}), ids()
    for _ in range(60):
        simulation.submit(next(fresh))
        simulation.tick()
    for _ in range(1000):
        for _ in simulation.tick().started:
            simulation.submit(next(fresh))
    submitted = [each.job.submitted_s for each in simulation.started.values()]
    assert len(submitted) > 400
    assert submitted == sorted(submitted)
    assert max(waits([*simulation.started.values()])) <= 1.2 * 60 * 10 / 4


@pytest.mark.thorough
@pytest.mark.parametrize("first", ["z", "0"])
def test_an_id_at_either_end_of_the_bytes_waits_no_longer_than_its_turn(first: str) -> None:
    simulation, fresh = OrderSimulation({"Flux": 4}, page=20, draw=random.Random(2).random), ids()
    for _ in range(100):
        simulation.submit(next(fresh))
    simulation.tick()
    job = simulation.submit(f"{first}-mine")
    for _ in range(600):
        for _ in simulation.tick().started:
            simulation.submit(next(fresh))
    assert job.id in simulation.started
    assert simulation.started[job.id].waited_s <= 100 * 10 / 4 + SWEEP_TICKS + 10


def test_every_job_of_a_backlog_starts_although_each_process_lives_for_one_tick() -> None:
    """And although what comes after it stands before it in the bucket."""
    simulation = OrderSimulation({"Flux": 1}, page=10, draw=random.Random(5).random)
    fresh = ids()
    old = [simulation.submit(f"9{next(fresh)}", service_s=1) for _ in range(60)]
    for n in range(1500):
        simulation.new_process()
        simulation.tick()
        if simulation.waiting < 80:
            simulation.submit(f"0{n:04}", service_s=1)
        if all(job.id in simulation.started for job in old):
            break
    assert all(job.id in simulation.started for job in old)


# ── priorities age ────────────────────────────────────────────────────────────────────────────────


def test_a_job_of_priority_5_starts_under_a_steady_stream_of_nines_within_20_minutes() -> None:
    """Which is 4 times RYLA_AGING_SECONDS: the nines that came before it are served by then."""
    simulation, fresh = OrderSimulation({"Flux": 4}), ids()
    for _ in range(20):
        simulation.submit(next(fresh), priority=9)
    simulation.tick()
    five = simulation.submit("zz-five", priority=5)
    while five.id not in simulation.started and simulation.now_s < 3600:
        for _ in simulation.tick().started:
            simulation.submit(next(fresh), priority=9)
    waited = simulation.wait_s(five.id)
    assert waited is not None
    assert 4 * 300 <= waited <= 4 * 300 + 10 + 2


@pytest.mark.thorough
def test_a_page_of_nines_before_it_hides_no_job_that_aged() -> None:
    simulation, fresh = OrderSimulation({"Flux": 4}, page=50, draw=random.Random(4).random), ids()
    five = simulation.submit("zz-five", priority=5)
    for _ in range(200):
        simulation.submit(next(fresh), priority=9)
    while five.id not in simulation.started and simulation.now_s < 3600:
        for _ in simulation.tick().started:
            simulation.submit(next(fresh), priority=9)
    assert 4 * 300 <= (simulation.wait_s(five.id) or 0) <= 4 * 300 + 10 + SWEEP_TICKS


def test_where_nothing_ages_priorities_are_kept() -> None:
    simulation, fresh, draw = OrderSimulation({"Flux": 4}), ids(), random.Random(1)
    for second in range(1800):
        if second % 60 == 0:
            for _ in range(20):  # of the 24 that the slots can serve until the next
                simulation.submit(next(fresh), priority=draw.choice([1, 5, 9]))
        simulation.tick()
    means = [mean(waits([*simulation.started.values()], priority=each)) for each in (9, 5, 1)]
    assert 2 * means[0] < means[1] < means[2] - 10


@st.composite
def streams(draw: st.DrawFn) -> dict[str, Any]:
    return {
        "slots": draw(st.integers(1, 3)),
        "page": draw(st.integers(4, 12)),
        "most_pages": draw(st.integers(2, 5)),
        "aging_s": draw(st.sampled_from([5.0, 20.0])),
        "service_s": draw(st.integers(1, 6)),
        "priority": draw(st.integers(0, 9)),
        "tenant": draw(st.sampled_from(["a", "m"])),
        "bare": draw(st.booleans()),
        "fresh_tenants": draw(st.booleans()),
        "others": draw(st.lists(st.sampled_from("amz"), min_size=1, max_size=3)),
        "before": draw(st.integers(0, 25)),
        "seed": draw(st.integers(0, 2**16)),
    }


@settings(deadline=None, max_examples=60)
@given(streams())
def test_every_job_starts_within_the_bound_that_is_stated(given_stream: dict[str, Any]) -> None:
    """Under an endless stream of nines, of tenants old or new, on its route and on another."""
    at = given_stream
    draw = random.Random(at["seed"])
    simulation = OrderSimulation(
        {"Flux": at["slots"], "ZImage": 1},
        aging_s=at["aging_s"],
        page=at["page"],
        kept=40,
        most_pages=at["most_pages"],
        draw=draw.random,
    )
    fresh = ids(at["seed"])

    def submit(**job: Any) -> None:
        tenant = f"t{draw.getrandbits(40):x}" if at["fresh_tenants"] else draw.choice(at["others"])
        service_s = draw.randint(1, at["service_s"])
        simulation.submit(next(fresh), tenant=tenant, service_s=service_s, **job)

    for _ in range(at["before"]):
        submit(priority=draw.randrange(10), bare=draw.random() < 0.3)
        simulation.tick(draw.random())
    before = len(simulation.started) - sum(
        each.at_s + each.job.service_s <= simulation.now_s for each in simulation.started.values()
    )
    before += simulation.waiting
    priority = 5 if at["bare"] else at["priority"]
    job = simulation.submit("mine", priority=priority, tenant=at["tenant"], bare=at["bare"])
    longest_s = at["service_s"] + 1  # a slot is seen to be free at the next tick
    sweep = max(SWEEP_TICKS, 40 // at["page"]) + 2
    bound_s = (9 - priority) * at["aging_s"] + 2 * (before + 1) * longest_s + 2 * sweep
    while job.id not in simulation.started and simulation.now_s <= 2 * bound_s + at["before"]:
        for model in ("flux-dev", "z-image-turbo"):
            for _ in range(2):
                if simulation.waiting < 30:
                    submit(priority=9, model=model)
        simulation.tick()
    waited = simulation.wait_s(job.id)
    assert waited is not None
    assert waited <= bound_s


# ── tenants ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.thorough
def test_who_fills_the_inbox_holds_up_no_other_tenant() -> None:
    simulation, fresh = OrderSimulation({"Flux": 4}, draw=random.Random(3).random), ids()
    for _ in range(3000):
        simulation.submit(next(fresh), tenant="big")
    simulation.tick()
    small = simulation.submit("zz-small", tenant="small")
    simulation.run(60)
    assert (simulation.wait_s(small.id) or 99) <= 10 + 3  # a service, and a sweep of 2 pages


@pytest.mark.thorough
def test_tenants_with_work_share_the_slots_alike() -> None:
    simulation, fresh = OrderSimulation({"Flux": 6}), ids()
    for tenant, jobs in (("many", 400), ("some", 200), ("few", 200)):
        for _ in range(jobs):
            simulation.submit(next(fresh), tenant=tenant)
    simulation.run(600)
    served = [
        len(waits([*simulation.started.values()], tenant=each)) for each in ("many", "some", "few")
    ]
    assert max(served) - min(served) <= 2


# ── work is conserved, and listing is bounded ─────────────────────────────────────────────────────


@settings(deadline=None, max_examples=60)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["flux-dev", "flux-schnell", "z-image-turbo"]),
            st.booleans(),
            st.sampled_from(["a", "b", "c"]),
            st.integers(0, 9),
            st.integers(0, 3),
        ),
        max_size=60,
    ),
    st.integers(0, 3),
    st.integers(0, 3),
    st.integers(3, 20),
    st.integers(1, 5),
    st.randoms(use_true_random=False),
)
def test_no_slot_is_free_while_a_job_that_was_listed_waits_for_it(
    jobs: list[tuple[str, bool, str, int, int]],
    flux: int,
    zimage: int,
    page: int,
    most_pages: int,
    draw: Any,
) -> None:
    simulation = OrderSimulation(
        {"Flux": flux, "ZImage": zimage}, page=page, most_pages=most_pages, draw=draw.random
    )
    for number, (model, bare, tenant, priority, pause) in enumerate(jobs):
        id = f"{draw.randrange(1000):03}-{number}"
        simulation.submit(
            id, model=model, bare=bare, tenant=tenant, priority=priority, service_s=1 + pause
        )
        if pause:
            continue
        length = -(-simulation.waiting // page)
        tick = simulation.tick()
        assert tick.bodies <= BODIES
        assert tick.lists <= min(most_pages, max(SEEKS, 2 + length // SWEEP_TICKS))
        for key in tick.listed & {*simulation.bucket_keys()}:
            waiting = simulation.backlog.known[key]
            if waiting.model is not None:
                assert tick.left.of(waiting.model) <= 0
            elif any(tick.left.free.values()):
                assert tick.bodies == BODIES, "whoever is unread is read as soon as may be"


# ── bare keys ─────────────────────────────────────────────────────────────────────────────────────


def test_a_bare_key_is_not_held_up_by_a_full_route_that_it_does_not_need() -> None:
    simulation, fresh = OrderSimulation({"Flux": 1, "ZImage": 1}), ids()
    for _ in range(50):
        simulation.submit(next(fresh), model="flux-dev")
        simulation.submit(next(fresh), bare=True)
    simulation.tick()
    mine = simulation.submit("zz-mine", model="z-image-turbo", bare=True)
    simulation.tick()
    assert simulation.wait_s(mine.id) == 1


def test_bare_keys_have_no_more_than_a_tenants_share() -> None:
    simulation, fresh = OrderSimulation({"Flux": 4, "ZImage": 4}), ids()
    for _ in range(200):
        simulation.submit(next(fresh), tenant="keyed")
        simulation.submit(next(fresh), tenant="short", bare=True)
    simulation.run(300)
    served = [len(waits([*simulation.started.values()], bare=each)) for each in (False, True)]
    assert max(served) <= 1.1 * min(served)


# ── LoRAs ─────────────────────────────────────────────────────────────────────────────────────────


def test_a_stream_for_one_lora_passes_another_job_for_one_time_of_ageing_and_no_longer() -> None:
    simulation, fresh = OrderSimulation({"Flux": 1, "ZImage": 1}), ids()
    simulation.submit("first", bare=True, lora="ann")
    simulation.tick()
    other = simulation.submit("other", tenant="acme", priority=9)
    while other.id not in simulation.started and simulation.now_s < 2000:
        if simulation.waiting < 3:
            simulation.submit(next(fresh), bare=True, lora="ann")
        simulation.tick()
    assert simulation.started[other.id].waited_s <= 300 + 10 * 4
