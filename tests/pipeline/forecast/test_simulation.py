from collections.abc import Sequence
from typing import Any

from pipeline.forecast.crew import Tally
from pipeline.forecast.expected_job import ExpectedJob
from pipeline.forecast.simulation import CrewSize, simulate
from pipeline.forecast.what_if import what_if
from pipeline.runtime import RuntimeConfig
from tests.support.forecasts import cloud, job
from tests.support.report_results import NOON

ONE = CrewSize(1, 5, 3)
RUNTIME = cloud(poll_active_seconds=1)
NARROW = what_if("max_in_flight=2").apply(RUNTIME)


class Order:
    """Notes in which order jobs began; each takes ten seconds."""

    def __init__(self) -> None:
        self.ids: list[str] = []

    def __call__(self, each: ExpectedJob, platform: str) -> float:
        self.ids.append(each.id)
        return 10.0


def run(
    jobs: Sequence[ExpectedJob], runtime: RuntimeConfig = RUNTIME, **crews: CrewSize
) -> tuple[Order, dict[str, Tally]]:
    order = Order()
    sizes = {(route, "modal"): size for route, size in (crews or {"Flux": ONE}).items()}
    found = simulate(jobs, runtime, sizes, order, NOON)
    return order, {route: tally for (route, _), tally in found.items()}


def test_jobs_begin_in_the_order_that_a_dispatcher_claims_them_in() -> None:
    """Priority first, then the tenants in turn, then age."""
    jobs = [
        *(job(f"acme-{n}", RUNTIME, tenant="acme", older_s=9) for n in range(3)),
        job("nova-0", RUNTIME, tenant="nova"),
        job("nine", RUNTIME, tenant="nova", priority=9),
    ]
    order, found = run(jobs)

    assert order.ids == ["nine", "acme-0", "acme-1", "nova-0", "acme-2"]
    assert found["Flux"].finished_s == 3 + 50


def test_a_full_route_is_looked_at_again_when_a_slot_comes_free() -> None:
    """At the next beat of the dispatcher's loop: its workers wait for it meanwhile."""
    single = what_if("max_in_flight=1").apply(RUNTIME)
    _, found = run([job("one", single), job("two", single)], single)

    tally = found["Flux"]
    assert tally.finished_s == 3 + 10 + 1 + 10
    assert (tally.starts, tally.idle_s) == (1, 1 + 5)


def test_a_job_that_comes_later_waits_for_nobody_before_it_comes() -> None:
    _, found = run([job("one", RUNTIME), job("two", RUNTIME, comes_s=600)])

    tally = found["Flux"]
    assert (tally.starts, tally.idle_s) == (2, 10)
    assert 600 + 13 <= tally.finished_s <= 600 + 14


def test_routes_have_workers_of_their_own() -> None:
    jobs = [job("flux", RUNTIME), job("z", RUNTIME, model="z-image-turbo")]
    _, found = run(jobs, Flux=ONE, ZImage=ONE)

    assert [tally.finished_s for tally in found.values()] == [13, 13]


def test_a_bare_job_whose_lora_is_in_use_passes_its_equals() -> None:
    lora: dict[str, Any] = {"model": "flux-lora", "input": {"lora_id": "muse"}}
    jobs = [
        job("plain", NARROW, bare=True, older_s=30),
        job("muse", NARROW, bare=True, older_s=20, **lora),
        job("older", NARROW, bare=True, older_s=10),
        job("like-muse", NARROW, bare=True, **lora),
    ]
    order, _ = run(jobs, NARROW)

    assert order.ids == ["plain", "muse", "like-muse", "older"]
