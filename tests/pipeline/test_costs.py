from datetime import date
from typing import Any

import pytest

from config.gpus import Gpu, GpuTable, Measured, load_gpus
from config.routes import Route, load_routes
from handlers.kinds.base import Work
from pipeline.costs import (
    FLUX,
    SDXL_INSTANTID,
    TEXT_ENCODE_SECONDS,
    Z_IMAGE,
    Bounds,
    Estimate,
    cautions,
    cold_start_usd,
    estimate,
    floor_seconds,
    over_budget,
    pace,
    sampling_seconds,
    step_flops,
    usd_per_second,
)

GPUS: GpuTable = load_gpus()
ROUTES = load_routes(gpus=GPUS)
ROUTE: Route = load_routes().route("Flux")
ONE_IMAGE = Work(images=1, steps=20, width=1024, height=1024)


def gpu(name: str) -> Gpu:
    return GPUS.gpu(name)


def usd(kind: str, work: Work, name: str) -> float:
    price = estimate(kind, work, gpu(name), ROUTE, GPUS).usd
    assert price is not None
    return price


def seconds(kind: str, work: Work, name: str) -> float:
    known = estimate(kind, work, gpu(name), ROUTE, GPUS).seconds
    assert known is not None
    return known


def test_one_flux_step_at_1024_takes_69_tflop() -> None:
    assert step_flops(FLUX, 1024, 1024) == pytest.approx(69.47e12, rel=0.001)


@pytest.mark.parametrize(
    ("name", "steps", "floor"),
    [
        ("H200", 20, 1.404),
        ("H100", 20, 1.40),
        ("L40S", 20, 3.84),
        ("A100-80GB", 20, 4.45),
        ("A10", 20, 11.1),
        ("T4", 20, 21.4),
        ("L40S", 4, 0.77),
        ("T4", 4, 4.27),
    ],
)
def test_floors_agree_with_the_published_table(name: str, steps: int, floor: float) -> None:
    work = Work(1, steps, 1024, 1024)

    assert floor_seconds(FLUX, work, gpu(name)) == pytest.approx(floor, rel=0.02)


def test_what_was_measured_is_what_is_estimated_but_for_the_texts_of_a_new_prompt() -> None:
    runs = [(card, run) for card in GPUS.measured for run in card.measured.values()]
    assert {run.speed for _, run in runs} == {"stock", "compiled"}
    for card, run in runs:
        route = ROUTE.model_copy(update={"speed": run.speed, "comfyui_flags": flags(run)})
        known = estimate("flux-dev", Work(1, run.steps, 1024, 1024), card, route, GPUS).seconds
        assert known == pytest.approx(run.seconds + TEXT_ENCODE_SECONDS)


def flags(run: Measured) -> tuple[str, ...]:
    return () if run.dynamic_vram else ("--disable-dynamic-vram",)


def test_a_card_is_estimated_at_the_speed_at_which_its_route_runs() -> None:
    h200 = GPUS.gpu("H200")
    assert h200.speed == "compiled"
    for speed, run in (("measured", "compiled"), ("stock", "stock"), ("eager", "stock")):
        found = pace(h200, ROUTE.model_copy(update={"speed": speed}), GPUS)
        assert found is not None
        assert (found.run, found.is_own) == (h200.measured[run], speed != "eager")
    other = pace(GPUS.gpu("L40S"), ROUTE, GPUS)
    assert other is not None
    assert (other.run, other.is_own) == (h200.measured["stock"], False)


def test_a_step_of_instantid_takes_no_less_than_the_processor_needs_for_it() -> None:
    """On a fast card the processor bounds it, on a slow one the card does."""
    face = Work(1, 20, 1024, 1024)
    for route, run in (("Flux", "stock"), ("InstantId", "stock-disable-dynamic-vram")):
        step = GPUS.gpu("H200").measured[run].face_step_s
        fast, slow = (pace(GPUS.gpu(name), ROUTES.route(route), GPUS) for name in ("H100", "T4"))
        assert fast is not None
        assert slow is not None
        assert step is not None
        assert sampling_seconds(SDXL_INSTANTID, face, fast) == pytest.approx(20 * step)
        assert sampling_seconds(SDXL_INSTANTID, face, slow) > 20 * step


def table(bandwidth: float | None = 1000.0) -> GpuTable:
    """A card that was measured, and one with a quarter of its peak and of its bandwidth."""
    card = {"usd_per_second": 1, "source": "x", "date": date(2026, 1, 1)}
    of_run = {
        "card": "A",
        "speed": "stock",
        "date": date(2026, 1, 1),
        "comfyui": "1",
        "steps": 10,
        "pictures": 3,
    }
    found = {"seconds": 2.6, "sampling_s": 2.0, "decode_s": 0.4, "floor_step_s": 0.15, "start_s": 9}
    return GpuTable.model_validate(
        {
            **GPUS.model_dump(exclude={"gpus", "platforms"}),
            "gpus": {
                "none": {**card, "usd_per_second": 0},
                "A": {
                    **card,
                    "bf16_tflops": 800,
                    "bandwidth_gbps": bandwidth,
                    "measured": {"stock": {**of_run, **found}},
                },
                "B": {**card, "bf16_tflops": 200, "bandwidth_gbps": 500},
                "C": {**card, "bf16_tflops": 400},
            },
        }
    )


@pytest.mark.parametrize(
    ("name", "bandwidth", "sampling", "decode"),
    [
        ("A", 1000.0, 0.2, 0.4),
        ("B", 1000.0, 0.15 * 4 + 0.05 * 2, 1.6),
        ("B", None, 0.2 * 4, 1.6),
        ("C", 1000.0, 0.2 * 2, 0.8),
    ],
)
def test_another_card_is_reckoned_by_its_peak_and_by_its_bandwidth(
    name: str, bandwidth: float | None, sampling: float, decode: float
) -> None:
    found = table(bandwidth)
    known = pace(found.gpu(name), ROUTE, found)
    assert known is not None
    step = sampling_seconds(FLUX, Work(1, 1, 1024, 1024), known)
    assert known.measured_on.name == "A"
    assert step == pytest.approx(sampling)
    assert known.decode == pytest.approx(decode)


def test_a_card_is_reckoned_from_the_measured_one_of_the_nearest_peak() -> None:
    far = table()
    near = far.gpus["A"].model_copy(update={"name": "D", "bf16_tflops": 250.0})
    both = far.model_copy(update={"gpus": {**far.gpus, "D": near}})
    known = pace(both.gpu("B"), ROUTE, both)
    assert known is not None
    assert known.measured_on.name == "D"


def test_nothing_is_reckoned_where_nothing_was_measured() -> None:
    bare = table()
    gpus = {name: each.model_copy(update={"measured": {}}) for name, each in bare.gpus.items()}
    assert pace(bare.gpu("B"), ROUTE, bare.model_copy(update={"gpus": gpus})) is None


def test_a_dearer_second_can_make_a_cheaper_picture() -> None:
    assert usd("flux-dev", ONE_IMAGE, "A100-80GB") < usd("flux-dev", ONE_IMAGE, "L40S")
    assert usd("flux-dev", ONE_IMAGE, "H100") < usd("flux-dev", ONE_IMAGE, "L40S")


def test_images_steps_and_pixels_each_raise_the_estimate() -> None:
    base = seconds("flux-dev", ONE_IMAGE, "L40S")

    assert seconds("flux-dev", Work(2, 20, 1024, 1024), "L40S") == pytest.approx(2 * base, rel=0.02)
    assert seconds("flux-dev", Work(1, 40, 1024, 1024), "L40S") > 1.9 * base
    assert seconds("flux-dev", Work(1, 20, 1024, 2048), "L40S") > 2.05 * base  # attention


def test_weights_kept_in_eight_bits_take_longer_per_step() -> None:
    assert seconds("flux-schnell", ONE_IMAGE, "L40S") > seconds("flux-dev", ONE_IMAGE, "L40S")


def test_a_chip_without_rates_and_a_kind_without_a_model_have_no_estimate() -> None:
    assert estimate("flux-dev", ONE_IMAGE, gpu("L4"), ROUTE, GPUS).usd is None
    assert estimate("wan-t2v", ONE_IMAGE, gpu("L40S"), ROUTE, GPUS).seconds is None


def test_a_second_costs_gpu_cores_and_memory() -> None:
    route = ROUTE.model_copy(update={"cpu_cores": 4, "memory_gib": 48})

    assert 10 * usd_per_second(gpu("L40S"), route, GPUS) == pytest.approx(
        0.00542 + 0.000524 + 0.0010656
    )


def test_nobody_bills_a_laptop() -> None:
    assert usd_per_second(gpu("none"), ROUTE, GPUS) == 0
    assert estimate("flux-dev", ONE_IMAGE, gpu("none"), ROUTE, GPUS).usd == 0


def test_a_job_over_its_budget_is_refused_with_both_numbers_and_a_budget_that_would_do() -> None:
    on_l40s = estimate("flux-dev", ONE_IMAGE, gpu("L40S"), ROUTE, GPUS)

    refusal = over_budget(on_l40s, 0.001)

    assert refusal is not None
    assert refusal.code == "over_budget"
    assert f"${on_l40s.usd:.6f}" in refusal.message
    assert "$0.001" in refusal.message
    assert "L40S" in refusal.message
    enough = float((refusal.hint or "").split("$")[1].split(",")[0])
    assert over_budget(on_l40s, enough) is None


def test_a_budget_that_is_met_exactly_or_absent_refuses_nothing() -> None:
    on_l40s = estimate("flux-dev", ONE_IMAGE, gpu("L40S"), ROUTE, GPUS)

    assert over_budget(on_l40s, on_l40s.usd) is None
    tiny = over_budget(on_l40s, 0.00001)
    assert tiny is not None
    assert "the budget of $0.00001" in tiny.message
    assert over_budget(on_l40s, None) is None


def test_a_budget_that_cannot_be_checked_is_refused() -> None:
    unknown = estimate("flux-dev", ONE_IMAGE, gpu("L4"), ROUTE, GPUS)

    refusal = over_budget(unknown, 1.0)

    assert refusal is not None
    assert "L4" in refusal.message
    assert over_budget(unknown, None) is None


def test_z_image_turbo_is_estimated_by_its_own_arithmetic() -> None:
    work = Work(images=1, steps=8, width=1024, height=1024)

    assert step_flops(Z_IMAGE, 1024, 1024) == pytest.approx(63e12, rel=0.05)
    assert 3.0 < seconds("z-image-turbo", work, "L40S") < 8.0
    assert estimate("no-such-kind", work, gpu("L40S"), ROUTE, GPUS).seconds is None


def test_with_all_tries_a_job_takes_as_many_times_the_pictures() -> None:
    thrice = estimate("flux-dev", ONE_IMAGE, gpu("L40S"), ROUTE, GPUS, ONE_IMAGE.times(3))
    three = estimate("flux-dev", ONE_IMAGE.times(3), gpu("L40S"), ROUTE, GPUS)

    assert thrice.usd == pytest.approx(usd("flux-dev", ONE_IMAGE, "L40S"))
    assert (thrice.most_seconds, thrice.most_usd) == (three.seconds, three.usd)


def test_without_tries_the_most_is_the_least() -> None:
    once = estimate("flux-dev", ONE_IMAGE, gpu("L40S"), ROUTE, GPUS)
    assert (once.most_seconds, once.most_usd) == (once.seconds, once.usd)


SHEET = Estimate("L40S", seconds=100.0, usd=0.07, most_seconds=300.0, most_usd=0.21)


def told(of: Estimate = SHEET, **bounds: Any) -> list[str]:
    return list(cautions(of, Bounds(**bounds), "as a partial sheet"))


@pytest.mark.parametrize("bounds", [{}, {"max_cost_usd": 0.21}, {"deadline_s": 300.0}])
def test_means_that_last_for_all_tries_are_not_spoken_of(bounds: dict[str, Any]) -> None:
    assert told(**bounds) == []


def test_a_budget_between_the_two_estimates_is_told_with_all_three_numbers_and_what_would_do() -> (
    None
):
    (warning,) = told(max_cost_usd=0.1)
    assert "may end as a partial sheet" in warning
    assert all(number in warning for number in ("$0.0700", "$0.2100", "$0.1."))
    assert told(max_cost_usd=float(warning.split("$")[-1].split()[0])) == []


def test_a_budget_below_both_will_be_refused_with_what_would_do_for_one_try_and_for_all() -> None:
    (warning,) = told(max_cost_usd=0.05)
    refusal = over_budget(SHEET, 0.05)
    assert refusal is not None
    assert warning == f"it will be refused: {refusal.message}. {refusal.hint}"
    assert "$0.0736 ($0.2205 for all tries)" in (refusal.hint or "")


@pytest.mark.parametrize("bound", ["time_limit_s", "deadline_s"])
@pytest.mark.parametrize("seconds", [50.0, 200.0])
def test_time_below_that_of_all_tries_is_told_and_refuses_nothing(
    bound: str, seconds: float
) -> None:
    bounds: dict[str, Any] = {bound: seconds}
    (warning,) = told(**bounds)
    assert all(number in warning for number in ("100 s", "300 s", f"{seconds:.0f} s."))
    assert "refused" not in warning


def test_a_deadline_in_the_past_is_now() -> None:
    (warning,) = told(deadline_s=-7.5)
    assert warning.endswith("the deadline is in 0 s.")


def test_what_nobody_can_estimate_is_not_warned_of() -> None:
    unknown = estimate("flux-dev", ONE_IMAGE, gpu("L4"), ROUTE, GPUS)
    assert told(unknown, time_limit_s=1.0) == []


def test_a_start_costs_what_it_took_on_the_card_or_on_any_that_was_measured() -> None:
    flux = ROUTES.route("Flux")
    (measured,) = GPUS.measured
    for name in (measured.name, "L40S"):
        route = flux.model_copy(update={"gpus": (name,)})
        rate = usd_per_second(GPUS.gpu(name), route, GPUS)
        longest = max(run.start_s for run in measured.measured.values())
        assert cold_start_usd(route, GPUS) == pytest.approx(rate * longest)
    bare = {name: row.model_copy(update={"measured": {}}) for name, row in GPUS.gpus.items()}
    unmeasured = GPUS.model_copy(update={"gpus": bare})
    rate = usd_per_second(GPUS.gpu(flux.gpus[0]), flux, GPUS)
    assert cold_start_usd(flux, unmeasured) == pytest.approx(rate * flux.startup_s)
