import pytest

from config.settings import Settings
from handlers.kinds.registry import KINDS
from pipeline import costs
from pipeline.forecast.history import NO_HISTORY, History
from pipeline.forecast.interval import Interval
from pipeline.forecast.machine import MEASURED, RECKONED, Machine, job_seconds, machine_of
from pipeline.forecast.what_if import what_if
from pipeline.runtime import RuntimeConfig, load_runtime
from tests.support.forecasts import cloud, job, of_manifest
from tests.support.sheets import sheet_manifest

CLOUD = cloud()


def local(gpu: str | None = None) -> RuntimeConfig:
    return load_runtime(Settings(local_workers=3, gpu=gpu), "local")


def flux(runtime: RuntimeConfig, history: History = NO_HISTORY) -> Machine:
    return machine_of(runtime.routes.route("Flux"), runtime, history)


def test_a_platform_gives_the_first_gpu_of_the_route_at_its_own_price() -> None:
    found, elsewhere = flux(CLOUD), flux(cloud("runpod"))

    assert (found.gpu.name, found.most, found.idle_s) == ("L40S", 8, 60)
    assert found.usd_per_second > elsewhere.usd_per_second > 0


def test_a_gpu_that_the_platform_does_not_have_is_passed_over() -> None:
    """RunPod has no A10, which is the first of this route."""
    elsewhere = cloud("runpod")
    found = machine_of(elsewhere.routes.route("InstantId"), elsewhere, NO_HISTORY)
    assert found.gpu.name == "L40S"
    only = what_if("InstantId.gpus=A10").apply(elsewhere)
    assert machine_of(only.routes.route("InstantId"), only, NO_HISTORY).gpu.name == "A10"


def test_a_start_is_reckoned_from_the_one_that_was_measured() -> None:
    h200 = CLOUD.gpus.gpu("H200")
    assert h200.start_s is not None
    picture = h200.measured["stock"].seconds
    assert flux(CLOUD).start.expected == pytest.approx(h200.start_s - picture)


def test_a_start_is_what_results_say_of_it() -> None:
    history = History(starts={("Flux", "L40S"): Interval(20, 30, 60)})
    assert flux(CLOUD, history).start == Interval(20, 30, 60)


def test_this_machine_is_what_most_results_ran_on() -> None:
    assert flux(local()).usd_per_second == 0
    assert flux(local(), History(own_gpu="none")).usd_per_second == 0
    found = flux(local(gpu="H100"))
    assert (found.gpu.name, found.most) == ("H100", 3)
    assert found.usd_per_second > 0


def test_an_estimate_is_bounded_by_whether_the_card_was_measured() -> None:
    one = job("one", CLOUD)
    for name, share in (("L40S", RECKONED), ("H200", MEASURED)):
        found = job_seconds(one, CLOUD.gpus.gpu(name), CLOUD, CLOUD, NO_HISTORY)
        assert found is not None
        assert found.low == pytest.approx(found.expected * (1 - share))
        assert found.high == pytest.approx(found.expected * (1 + share))


def test_a_sheet_lies_between_one_try_of_each_view_and_all() -> None:
    sheet = of_manifest("ann", sheet_manifest(input={"attempts_per_view": 3}), CLOUD)
    found = job_seconds(sheet, CLOUD.gpus.gpu("L40S"), CLOUD, CLOUD, NO_HISTORY)
    assert found is not None
    assert found.high > 2 * found.expected


def test_results_on_the_gpu_go_before_the_estimate() -> None:
    """They were set against the estimate on the first GPU of the route, whatever ran the job."""
    history = History(factors={("flux-dev", "H100"): Interval(0.2, 0.3, 0.4)})
    one, other = job("one", CLOUD), what_if("gpus=H100").apply(CLOUD)
    base = costs.estimate(
        "flux-dev",
        KINDS["flux-dev"].work(one.manifest.input),
        CLOUD.gpus.gpu("L40S"),
        CLOUD.routes.route("Flux"),
        CLOUD.gpus,
    )
    found = job_seconds(one, CLOUD.gpus.gpu("H100"), other, CLOUD, history)

    assert base.seconds is not None
    assert found is not None
    assert found.expected == pytest.approx(0.3 * base.seconds)


def test_a_card_that_nobody_can_reckon_has_no_figure() -> None:
    assert job_seconds(job("one", CLOUD), CLOUD.gpus.gpu("L4"), CLOUD, CLOUD, NO_HISTORY) is None
