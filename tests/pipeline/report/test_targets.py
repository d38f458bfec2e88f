import pytest

from pipeline.contract.result import MissingView, OutputView, Result, Status
from pipeline.report.targets import Metric, Tally, TargetVerdict
from tests.support.report_results import lora_event, output, refused, result


def tally(*results: Result, standin: bool = False) -> Tally:
    made = Tally(standin=standin)
    for each in results:
        made.add(each)
    return made


def metrics(*results: Result, standin: bool = False) -> dict[str, Metric]:
    return {each.name: each for each in tally(*results, standin=standin).metrics()}


def failed(code: str = "node_failed") -> Result:
    return result(status=Status.FAILED, error=code)


def test_success_leaves_refused_and_cancelled_jobs_out() -> None:
    cancelled = result(status=Status.CANCELLED, engine=None)
    found = metrics(*[result()] * 19, failed(), *[refused()] * 50, *[cancelled] * 50)["success"]

    assert (found.figure, found.n, found.target) == (0.95, 20, "more than 95 %")
    assert found.verdict is TargetVerdict.MISSED
    assert metrics(*[result()] * 20, failed())["success"].verdict is TargetVerdict.MET


def test_a_passed_deadline_is_a_failure() -> None:
    missed = result(status=Status.FAILED, engine=None, error="deadline_exceeded")

    assert metrics(result(), missed)["success"].figure == 0.5
    assert tally(missed, refused()).errors == {"deadline_exceeded": 1, "unknown_field": 1}


def test_seconds_are_divided_by_a_jobs_pictures() -> None:
    found = metrics(result(seconds=40, pictures=4), result(seconds=40), failed())

    assert found["seconds a picture, mean"].figure == 25
    assert found["seconds a picture, mean"].verdict is TargetVerdict.MET
    assert found["seconds a picture, p95"].figure == 40
    assert found["seconds a picture, p95"].verdict is None
    assert found["seconds a picture, p50"].n == 2


def test_a_response_counts_the_wait_and_the_cold_start_and_tells_their_shares() -> None:
    found = metrics(result(seconds=10, waited=20, cold=10), result(seconds=10))

    assert found["response, mean"].figure == 25
    assert found["response, p95"].figure == 40
    assert found["of it waiting"].figure == pytest.approx(0.4)
    assert found["of it cold start"].figure == pytest.approx(0.2)
    assert found["seconds a picture, mean"].figure == 10


def test_a_sheet_s_pictures_take_what_all_of_its_tries_took_and_it_is_no_response() -> None:
    views = [
        output(0.9).model_copy(update={"view": OutputView(number=n, id=f"v{n}", seconds=9.0)})
        for n in (1, 2)
    ]
    lost = (MissingView(number=3, id="v3", reason="head_cut", seconds=12.0),)
    sheet = result(seconds=5, usd=0.1, lost_usd=0.5, outputs=tuple(views), missing=lost)
    found = metrics(sheet, result(seconds=15, usd=0.3))

    assert found["seconds a picture, mean"].figure == 15
    assert found["response, mean"].figure == 15
    assert found["cost a picture, mean"].figure == pytest.approx(0.3)


def test_a_picture_costs_what_its_job_cost_over_its_pictures() -> None:
    found = metrics(result(usd=0.8, pictures=4), result(usd=0.6, lost_usd=5))

    assert found["cost a picture, mean"].figure == pytest.approx(0.4)
    assert found["cost a picture, mean"].verdict is TargetVerdict.MET
    assert found["cost a picture, p95"].verdict is TargetVerdict.MISSED
    assert found["cost a picture, p95"].target == "less than $0.50"


def test_a_machine_that_nobody_bills_says_nothing_of_cost() -> None:
    found = metrics(result(usd=0, gpu="my own"))

    assert found["cost a picture, mean"].verdict is TargetVerdict.NO_DATA
    assert found["seconds a picture, mean"].verdict is TargetVerdict.MET


def test_faces_without_a_baseline_and_without_a_measure_are_told_apart() -> None:
    faces = tally(
        result(
            outputs=(
                output(0.9),
                output(0.85),
                output(0.6),
                output(face=True),
                output(face_reason="no_face"),
                output(0.2, profile=True),
                output(),
            )
        )
    ).faces

    assert (faces.above, len(faces.matches), faces.without_baseline) == (2, 3, 1)
    assert faces.share == pytest.approx(2 / 3)
    assert faces.unmeasured == {"no_face": 1, "profile": 1}


def test_the_mean_match_is_held_against_the_target() -> None:
    good = metrics(result(outputs=(output(0.9), output(0.8))))
    bad = metrics(result(outputs=(output(0.9), output(0.7))))

    assert good["face match, mean"].verdict is TargetVerdict.MET
    assert bad["face match, mean"].verdict is TargetVerdict.MISSED
    assert bad["faces of at least 0.85"].figure == 0.5
    assert metrics(result())["face match, mean"].verdict is TargetVerdict.NO_DATA


def test_every_lora_must_load() -> None:
    loaded, not_loaded = lora_event(True), lora_event(False)
    bad = result(status=Status.REJECTED, engine=None, events=(not_loaded,), error="lora_not_found")

    assert metrics(result(events=(loaded,)))["LoRA loads"].verdict is TargetVerdict.MET
    found = metrics(result(events=(loaded,)), bad)["LoRA loads"]
    assert (found.figure, found.n, found.verdict) == (0.5, 2, TargetVerdict.MISSED)


def test_nothing_is_no_data() -> None:
    verdicts = {each.verdict for each in Tally().metrics()}

    assert verdicts == {TargetVerdict.NO_DATA, None}


def test_what_the_stand_in_made_is_no_evidence() -> None:
    verdicts = {each.verdict for each in metrics(result(), standin=True).values()}

    assert verdicts == {TargetVerdict.NO_EVIDENCE, TargetVerdict.NO_DATA, None}
