from dataclasses import replace

import pytest

from config.routes import RouteTable
from pipeline.forecast.deployment import Deployment
from pipeline.forecast.expected_job import ExpectedJob
from pipeline.forecast.forecast import forecast
from pipeline.forecast.history import NO_HISTORY, History
from pipeline.forecast.interval import Interval
from pipeline.forecast.what_if import what_if
from tests.support.forecasts import cloud, job
from tests.support.report_results import NOON

RUNTIME = cloud()
PAST = History(
    factors={("flux-dev", "L40S"): Interval(0.5, 1, 2)},
    starts={("Flux", "L40S"): Interval(10, 20, 40)},
)


def some(number: int) -> list[ExpectedJob]:
    return [job(f"job-{n:03}", RUNTIME) for n in range(number)]


def test_dollars_are_all_seconds_that_workers_are_held() -> None:
    found = forecast("plan", some(3), Deployment.of(RUNTIME), RUNTIME, PAST, NOON)
    route = found.routes[0]

    assert (found.jobs, found.pictures) == (3, 3)
    gpu_s = found.figure("working_s").expected + 3 * 20 + 3 * 60
    assert found.figure("gpu_seconds").expected == pytest.approx(gpu_s)
    assert found.usd.expected == pytest.approx(gpu_s * route.machine.usd_per_second)
    assert route.idle_usd.expected == pytest.approx(180 * route.machine.usd_per_second)
    assert route.cold_usd.expected == pytest.approx(60 * route.machine.usd_per_second)


def test_every_figure_lies_within_its_interval() -> None:
    found = forecast("plan", some(60), Deployment.of(RUNTIME), RUNTIME, PAST, NOON)

    assert found.finished.low < found.finished.expected < found.finished.high
    assert found.usd.low < found.usd.expected < found.usd.high


def test_fewer_containers_take_longer_and_are_paid_less_idle_time() -> None:
    usual = forecast("usual", some(60), Deployment.of(RUNTIME), RUNTIME, PAST, NOON)
    narrow = what_if("max_containers=1,idle_s=10").apply(RUNTIME)
    found = forecast("narrow", some(60), Deployment.of(narrow), RUNTIME, PAST, NOON)

    assert found.finished.expected > usual.finished.expected
    assert found.usd.expected < usual.usd.expected
    assert found.figure("cold_starts").expected == 1


def test_a_job_above_its_budget_is_not_in_it() -> None:
    jobs = [*some(2), job("dear", RUNTIME, max_cost_usd=0.000001)]
    found = forecast("plan", jobs, Deployment.of(RUNTIME), RUNTIME, PAST, NOON)

    assert (found.jobs, found.refused, found.unknown) == (2, 1, 0)


def test_a_kind_that_no_route_runs_will_be_refused() -> None:
    routes = {"Flux": RUNTIME.routes.route("Flux")}
    narrow = replace(RUNTIME, routes=RouteTable(routes=routes))
    jobs = [*some(1), job("z", RUNTIME, model="z-image-turbo")]

    found = forecast("plan", jobs, Deployment.of(narrow), narrow, PAST, NOON)
    assert (found.jobs, found.refused) == (1, 1)


def test_a_job_without_an_estimate_is_counted_apart() -> None:
    other = what_if("gpus=L4").apply(RUNTIME)
    found = forecast("plan", some(2), Deployment.of(other), RUNTIME, NO_HISTORY, NOON)

    assert (found.jobs, found.unknown) == (0, 2)
    assert found.document()["unknown"] == 2
    assert found.finished.expected == 0


def test_what_overflows_is_told_and_paid_by_platform_and_in_sum() -> None:
    change = what_if("platforms=modal+runpod,max_containers=1,overflow_after_s=1,idle_s=10")
    modal, runpod = (change.apply(cloud(name)) for name in ("modal", "runpod"))
    both = Deployment({"modal": modal, "runpod": runpod}, "modal")
    past = History(factors=PAST.factors, starts={("Flux", "L40S"): Interval(5, 5, 5)})
    found = forecast("plan", some(60), both, RUNTIME, past, NOON)

    one, other = found.platforms
    assert (one.name, other.name, found.platform) == ("modal", "runpod", "modal, runpod")
    assert one.jobs > 0
    assert other.jobs > 0
    assert one.jobs + other.jobs == found.jobs == 60
    assert one.figure("overflowed").expected == 0
    assert other.figure("overflowed").expected > 0
    assert one.usd.expected + other.usd.expected == pytest.approx(found.usd.expected)
    rates = [each.machine.usd_per_second for each in found.routes]
    assert rates[0] > rates[1] > 0
    alone = forecast("plan", some(60), Deployment.of(modal), RUNTIME, past, NOON)
    assert found.finished.expected < alone.finished.expected
    document = found.document()
    assert [each["platform"] for each in document["platforms"]] == ["modal", "runpod"]
    assert [each["platform"] for each in document["routes"]] == ["modal", "runpod"]


def test_a_platform_that_takes_over_nothing_is_not_shown() -> None:
    change = what_if("platforms=modal+runpod")
    modal, runpod = (change.apply(cloud(name)) for name in ("modal", "runpod"))
    both = Deployment({"modal": modal, "runpod": runpod}, "modal")
    found = forecast("plan", some(3), both, RUNTIME, PAST, NOON)

    assert found.platform == "modal"
    alone = forecast("plan", some(3), Deployment.of(modal), RUNTIME, PAST, NOON)
    assert found.document() == alone.document()
