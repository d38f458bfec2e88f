from datetime import timedelta
from typing import Any

import pytest

from config.gpus import load_gpus
from config.routes import load_routes
from config.settings import Settings
from pipeline.contract.manifest import parse_manifest
from pipeline.jobs.quote import Quote, quote
from tests.support.jobs import NOW
from tests.support.manifests import body
from tests.support.sheets import sheet_manifest

GPUS = load_gpus()
ROUTES = load_routes(gpus=GPUS)
LOCAL = Settings(environment="test", engine="local")
FACE = f"inputs/{'0' * 64}.png"
ANN = {"prompt": "a woman", "reference_image": FACE}
LARGE = {"width": 1408, "height": 1408}


def quoted(manifest: bytes, settings: Settings = LOCAL) -> Quote:
    found = quote(parse_manifest(manifest), settings, ROUTES, GPUS, NOW)
    assert found is not None
    return found


def dollars(manifest: bytes) -> tuple[float, float]:
    known = quoted(manifest).estimate
    assert known.usd is not None
    assert known.most_usd is not None
    return known.usd, known.most_usd


def face(model: str, **more: Any) -> bytes:
    return body(model=model, input=ANN | more)


def test_a_sheet_is_quoted_with_one_try_a_view_and_with_all() -> None:
    least, most = dollars(sheet_manifest())
    assert most == pytest.approx(3 * least, rel=0.02)
    assert quoted(sheet_manifest()).warnings == ()


def test_a_picture_that_is_made_once_has_one_price() -> None:
    least, most = dollars(body())
    assert least == most


@pytest.mark.parametrize("gate", [{"min_face_match": 0.8}, {"head": {"yaw": 20.0}}])
def test_seeds_are_counted_where_something_is_asked_that_one_may_miss(gate: dict[str, Any]) -> None:
    least, most = dollars(face("sdxl-instantid", max_tries=4, **LARGE))
    assert least == most
    least, most = dollars(face("sdxl-instantid", max_tries=4, **LARGE, **gate))
    assert most == pytest.approx(4 * least, rel=0.05)


def test_a_composition_counts_as_often_as_it_may_be_made_again() -> None:
    """For want of a face; where none is needed, only a face is tried again."""
    gate = LARGE | {"max_tries": 3, "min_face_match": 0.8}
    once, most = dollars(face("flux-instantid", **gate))
    assert most == pytest.approx(3 * once, rel=0.1)
    assert once < dollars(face("flux-instantid", **gate, allow_no_face=True))[1] < 0.95 * most


def test_a_budget_between_the_estimates_is_warned_of() -> None:
    least, most = dollars(sheet_manifest())
    (warning,) = quoted(sheet_manifest(max_cost_usd=(least + most) / 2)).warnings
    assert warning.startswith("it may end as a partial sheet")


def test_a_sheet_may_not_last_till_its_deadline_and_is_not_bound_by_the_time_limit() -> None:
    short = LOCAL.model_copy(update={"job_timeout_seconds": 1.0})
    deadline = (NOW + timedelta(seconds=2)).isoformat()
    (warning,) = quoted(sheet_manifest(deadline=deadline), short).warnings
    assert warning.endswith("the deadline is in 2 s.")


@pytest.mark.parametrize(("engine", "limit"), [("local", 700), ("modal", 600)])
def test_tries_in_one_execution_are_bound_by_the_time_limit_alone(engine: Any, limit: int) -> None:
    settings = Settings(environment="test", engine=engine, job_timeout_seconds=700)
    deadline = (NOW + timedelta(seconds=1)).isoformat()
    many = {"num_images": 8, "max_tries": 8, "steps": 50, "min_face_match": 0.8} | LARGE
    asked = body(model="sdxl-instantid", input=ANN | many, deadline=deadline)
    (warning,) = quoted(asked, settings).warnings
    assert warning.startswith("it may end with fewer tries")
    assert warning.endswith(f"the time limit is {limit} s.")


def test_what_no_route_runs_is_not_quoted() -> None:
    without = ROUTES.model_copy(
        update={"routes": {name: row for name, row in ROUTES.routes.items() if name != "Flux"}}
    )
    assert quote(parse_manifest(sheet_manifest()), LOCAL, without, GPUS, NOW) is None


def test_seconds_and_dollars_go_into_the_answer() -> None:
    found = quoted(sheet_manifest())
    assert found.document() == {
        "gpu": "L40S",
        "seconds": found.estimate.seconds,
        "most_seconds": found.estimate.most_seconds,
        "usd": found.estimate.usd,
        "most_usd": found.estimate.most_usd,
    }
