from typing import Any

import pytest

from pipeline.contract.result import ColdParts, Result, Status
from pipeline.forecast.history import history_of
from pipeline.forecast.interval import Interval
from tests.support.report_results import event_of, refused, result


def took(seconds: float, *, cold: float = 0.0, estimate: float = 10.0, **more: Any) -> Result:
    made = result(seconds=seconds, cold=cold, **more)
    assert made.metrics is not None
    fields = {"estimate_seconds": estimate, "cold_parts": parts(cold) if cold else None}
    return made.model_copy(update={"metrics": made.metrics.model_copy(update=fields)})


def parts(cold: float) -> ColdParts:
    """Beside the start, weights and a slow first step take four seconds of the job's own."""
    rest = {"imports": 0, "comfyui": 0, "read_ahead": 0, "read_ahead_bytes": 0}
    return ColdParts(container=cold, weights=3, first_step=1, **rest)


def test_a_factor_is_what_all_took_over_what_was_estimated_for_all() -> None:
    history = history_of([took(each) for each in (8, 8, 8, 8, 48)])

    assert history.factors == {("flux-dev", "L40S"): Interval(0.8, 1.6, 4.8)}
    assert (history.results, history.own_gpu) == (5, None)


def test_a_few_results_say_nothing_of_a_kind() -> None:
    assert history_of([took(8)] * 4).factors == {}


def test_kinds_and_gpus_are_told_apart() -> None:
    results = [took(8)] * 5 + [took(4, gpu="H100")] * 5 + [took(2, model="flux-schnell")] * 5
    factors = history_of(results).factors

    assert {place: each.expected for place, each in factors.items()} == {
        ("flux-dev", "L40S"): pytest.approx(0.8),
        ("flux-dev", "H100"): pytest.approx(0.4),
        ("flux-schnell", "L40S"): pytest.approx(0.2),
    }


def test_a_cold_start_is_taken_out_of_its_job() -> None:
    history = history_of([took(12, cold=20)] * 5)

    assert history.starts == {("Flux", "L40S"): Interval(24, 24, 24)}
    assert history.factors[("flux-dev", "L40S")].expected == pytest.approx(0.8)


def test_only_what_one_worker_made_from_end_to_end_counts() -> None:
    odd = [
        refused(),
        took(8, status=Status.FAILED),
        took(8, attempt=2),
        took(8, model="no-such-kind"),
    ]
    assert history_of(odd).results == 0


def test_what_the_stand_in_made_counts_where_it_is_planned_for() -> None:
    drawn = [took(8, engine="standin", gpu="none")] * 5

    assert history_of(drawn).results == 0
    assert history_of(drawn, standin=True).factors.keys() == {("flux-dev", "none")}
    assert history_of(drawn, standin=True).own_gpu == "none"


def test_the_gpu_of_own_machines_is_told_from_what_ran_there() -> None:
    there = [took(8, gpu="L40S", events=(event_of("modal"),))] * 9
    here = [took(8, gpu="RTX 4090", events=(event_of("local"),))] * 2

    assert history_of([*there, *here]).own_gpu == "RTX 4090"
