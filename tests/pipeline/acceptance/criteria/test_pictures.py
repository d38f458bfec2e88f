from typing import Any

import pytest

from pipeline.acceptance.criteria.criterion import Facts, Outcome, Verdict
from pipeline.acceptance.criteria.pictures import faces, flux, loras, sheet
from pipeline.acceptance.jobs import Stage
from pipeline.contract.result import (
    MissingView,
    Output,
    OutputView,
    Provenance,
    Status,
    UsedLora,
)
from tests.support.acceptances import outcome, owes, unfinished
from tests.support.report_results import output, result

FACE = "sdxl-instantid"


def tens(count: int = 10) -> list[Outcome]:
    return [outcome(f"flux-{n}") for n in range(count)]


def with_loras(*names: str) -> list[Outcome]:
    """The files of different names are different."""
    return [with_lora(f"lora-{n}", name, name * 64) for n, name in enumerate(names)]


def with_lora(id: str, name: str, sha256: str, **more: Any) -> Outcome:
    used = UsedLora(key=f"loras/{name}.safetensors", sha256=sha256)
    made_by = Provenance(engine="comfyui", app_version="1", lora=used)
    return outcome(id, Stage.LORA, "flux-lora", name, provenance=made_by, **more)


def sat(*outputs: Output, status: Status = Status.SUCCEEDED) -> Facts:
    sitting = outcome("face", Stage.FACE, FACE, FACE, outputs=outputs, status=status)
    return Facts([sitting])


def test_ten_flux_pictures_pass() -> None:
    judged = flux(Facts(tens()))

    assert (judged.verdict, judged.figure, judged.value) == (Verdict.PASS, "10 of 10", 1.0)
    assert judged.jobs[0] == "flux-0"
    assert judged.keys == ["k"] * 10


def test_one_failure_fails_them_and_is_named() -> None:
    judged = flux(Facts([*tens(), outcome("bad", status=Status.FAILED, error="node_failed")]))

    assert (judged.verdict, judged.why) == (Verdict.FAIL, "bad failed (node_failed)")


@pytest.mark.parametrize(
    ("outcomes", "why"),
    [
        ([], "the plan has no [flux]"),
        (tens(9), "9 pictures are too few to tell"),
        ([*tens(), unfinished("late")], "1 jobs have no result: still running"),
    ],
)
def test_what_was_not_seen_is_not_run(outcomes: list[Outcome], why: str) -> None:
    judged = flux(Facts(outcomes))

    assert (judged.verdict, judged.why) == (Verdict.NOT_RUN, why)


def test_five_loras_pass_however_often_each_is_used() -> None:
    judged = loras(Facts(with_loras("a", "b", "c", "d", "e", "a")))

    assert (judged.verdict, judged.figure) == (Verdict.PASS, "5 of 5")
    assert dict(judged.parts) == {"loads": "6"}


def test_four_loras_are_too_few() -> None:
    assert loras(Facts(with_loras("a", "b", "c", "d", "d"))).verdict is Verdict.NOT_RUN


def test_one_file_under_five_names_is_one_lora() -> None:
    judged = loras(Facts([with_lora(name, name, "0" * 64) for name in "abcde"]))

    assert (judged.verdict, judged.figure) == (Verdict.NOT_RUN, "5 of 5")
    assert judged.why == "1 different LoRAs are too few to tell"
    assert "loras/c.safetensors" in judged.keys


def test_a_picture_without_a_word_of_its_lora_is_no_load() -> None:
    made = result("x", model="flux-lora")
    silent = [each for each in owes(made) if each.event != "modal_lora_loaded"]
    quiet = with_lora("x", "e", "e" * 64, events=silent)
    judged = loras(Facts([*with_loras("a", "b", "c", "d"), quiet]))

    assert (judged.verdict, judged.figure) == (Verdict.FAIL, "4 of 5")
    assert judged.why == "nothing tells that it was loaded: e"


def test_faces_are_judged_by_their_mean_match() -> None:
    alike = faces(sat(output(0.9), output(0.8)), FACE)
    unlike = faces(sat(output(0.9), output(0.7)), FACE)

    assert (alike.verdict, alike.figure) == (Verdict.PASS, "0.850")
    assert dict(alike.parts)["similarity, mean"] == "0.500"
    assert unlike.verdict is Verdict.FAIL
    assert unlike.value == pytest.approx(0.8)
    assert "the least is 0.700" in unlike.why


def test_a_mean_that_just_misses_does_not_look_as_if_it_met_it() -> None:
    judged = faces(sat(output(0.8499)), FACE)

    assert (judged.verdict, judged.figure) == (Verdict.FAIL, "0.849")


def test_without_a_calibration_there_is_a_similarity_and_no_verdict() -> None:
    judged = faces(sat(output(face=True)), FACE)

    assert (judged.verdict, judged.value) == (Verdict.NOT_RUN, None)
    assert judged.why == "no match was measured: baseline_unknown"
    assert dict(judged.parts)["similarity, mean"] == "0.500"


def test_a_picture_without_a_face_fails_and_one_that_was_not_measured_does_not() -> None:
    assert faces(sat(output(0.9), output(face_reason="no_face")), FACE).verdict is Verdict.FAIL
    judged = faces(sat(output(face_reason="face_models_missing")), FACE)
    assert (judged.verdict, judged.why) == (
        Verdict.NOT_RUN,
        "no match was measured: face_models_missing",
    )


def test_a_refused_sitting_fails_and_one_that_nobody_planned_is_not_run() -> None:
    refused = outcome("face", Stage.FACE, FACE, FACE, status=Status.REJECTED, error="no_face")

    assert faces(Facts([refused]), FACE).verdict is Verdict.FAIL
    assert faces(Facts(), FACE).verdict is Verdict.NOT_RUN


def view(id: str, match: float | None = None, **more: Any) -> Output:
    return output(match, **more).model_copy(update={"view": OutputView(number=1, id=id)})


def sheet_of(*views: Output, **more: Any) -> Facts:
    made = outcome("r-sheet-sdxl", Stage.SHEET, "character-sheet", "sdxl", outputs=views, **more)
    return Facts([made])


def test_a_sheet_is_judged_by_its_mean_and_its_worst_view() -> None:
    good = sheet(sheet_of(view("front", 0.95), view("left", 0.8), view("back")), "sdxl")
    uneven = sheet(sheet_of(view("front", 1.0), view("left", 0.98), view("right", 0.65)), "sdxl")
    unlike = sheet(sheet_of(view("front", 0.9), view("left", 0.7)), "sdxl")

    assert (good.verdict, good.figure) == (Verdict.PASS, "0.875")
    assert dict(good.parts)["worst view"] == "left, 0.800"
    assert (uneven.verdict, uneven.why) == (Verdict.FAIL, "right has 0.650")
    assert unlike.verdict is Verdict.FAIL
    assert "the least is 0.700 of left" in unlike.why


def test_the_match_of_a_profile_judges_no_sheet() -> None:
    judged = sheet(sheet_of(view("front", 0.9), view("side", 0.2, profile=True)), "sdxl")
    assert (judged.verdict, judged.figure) == (Verdict.PASS, "0.900")


def test_a_sheet_s_missing_views_are_named() -> None:
    lost = (MissingView(number=2, id="back", reason="face_shown"),)
    judged = sheet(sheet_of(view("front", 0.9), missing=lost, partial=True), "sdxl")

    assert dict(judged.parts)["views"] == "1 of 2"
    assert dict(judged.parts)["missing: back"] == "face_shown"


def test_a_sheet_without_a_match_is_not_run_and_a_failed_one_fails() -> None:
    assert sheet(sheet_of(view("front", face=True)), "sdxl").verdict is Verdict.NOT_RUN
    failed = sheet_of(status=Status.FAILED, error="too_few_views")
    assert sheet(failed, "sdxl").verdict is Verdict.FAIL
    assert sheet(Facts([]), "sdxl").why == "the plan does not ask for it in [sheets]"
