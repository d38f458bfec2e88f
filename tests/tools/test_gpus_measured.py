import json
import math
from pathlib import Path
from typing import Any

import pytest

from config.gpus import load_gpus
from tools.gpus_measured import (
    PATH,
    NotMeasured,
    add,
    committed,
    main,
    measured,
    name_of,
    render,
)

GPUS = load_gpus()
RUN: dict[str, Any] = {
    "card": "NVIDIA L40S",
    "date": "2026-12-01",
    "comfyui": "0.33.0",
    "floor_step_s": 0.3,
    "warm_flux_s": [9.0, 10.0, 11.0, 8],
    "warm_flux_execution_s": [8.9, 9.9, 10.9, 8],
    "warm_parts": [{"decode": 0.4}],
    "save_node_s": [0.0, 0.1, 0.2, 8],
    "start_to_first_picture_s": 33.0,
    "profile": ["long"],
}


def test_the_table_of_what_was_measured_is_that_of_the_runs() -> None:
    assert PATH.read_text("utf-8") == render(committed(), GPUS), (
        "run: python -m tools.gpus_measured"
    )


def test_every_figure_of_a_run_is_a_median_with_its_card_and_date() -> None:
    gpu, found = measured(RUN, GPUS)

    assert gpu.name == "L40S"
    assert (found.card, str(found.date), found.comfyui) == ("NVIDIA L40S", "2026-12-01", "0.33.0")
    assert (found.seconds, found.pictures, found.sampling_s) == (10.0, 8, 9.4)
    assert found.other_s == pytest.approx(0.2)
    assert (found.speed, found.dynamic_vram, found.face_pass_s) == ("stock", True, None)


@pytest.mark.parametrize(
    ("told", "name"),
    [
        ({}, "stock"),
        ({"warm_sampled": {}}, "stock"),
        ({"warm_sampled": {"compiled": 20}}, "compiled"),
        ({"warm_sampled": {"eager": 20}, "dynamic_vram": False}, "eager-disable-dynamic-vram"),
    ],
)
def test_a_run_is_of_the_speed_at_which_its_pictures_were_made(
    told: dict[str, Any], name: str
) -> None:
    assert name_of(measured(RUN | told, GPUS)[1]) == name


def test_a_picture_that_was_compiled_in_between_is_of_no_speed() -> None:
    with pytest.raises(NotMeasured, match="several ways: compiled, eager"):
        measured({**RUN, "warm_sampled": {"eager": 3, "compiled": 17}}, GPUS)


def test_the_median_of_decoding_is_taken_where_a_run_has_it() -> None:
    _, found = measured({**RUN, "warm_decode_s": [0.1, 0.5, 0.6, 8]}, GPUS)

    assert found.decode_s == 0.5


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"card": "processor"}, "no card"),
        ({"card": "cpu"}, "no card"),
        ({"floor_step_s": math.nan}, "no floor"),
        ({"warm_parts": None}, "warm_parts"),
    ],
)
def test_a_run_without_a_gpu_or_without_warm_pictures_gives_no_figures(
    changed: dict[str, Any], why: str
) -> None:
    run = {name: value for name, value in {**RUN, **changed}.items() if value is not None}

    with pytest.raises(NotMeasured, match=why):
        measured(run, GPUS)


FACES = {"face_pass_s": [4.0, 5.0, 6.0, 3], "face_pass_parts": {"sampling": 4.2}}


def test_face_passes_are_of_the_latest_run_that_made_any() -> None:
    later = {**RUN, "date": "2026-12-02"}

    shown = render([{**RUN, **FACES}, later], GPUS)

    assert "date = 2026-12-02\n" in shown
    assert "face_date = 2026-12-01\nface_pass_s = 5.0\nface_passes = 3\n" in shown
    assert "face_step_s = 0.21\n" in shown


def test_runs_at_two_speeds_stand_beside_each_other() -> None:
    shown = render([RUN, {**RUN, "warm_sampled": {"compiled": 20}}], GPUS)

    assert "[gpus.L40S.measured.compiled]" in shown
    assert "[gpus.L40S.measured.stock]" in shown


def test_of_two_runs_on_a_card_the_later_counts() -> None:
    later = {**RUN, "date": "2026-12-02", "start_to_first_picture_s": 20.0}

    assert render([later, RUN], GPUS) == render([RUN, later], GPUS) == render([later], GPUS)


def test_a_run_is_kept_without_its_profile(tmp_path: Path) -> None:
    add(RUN, GPUS, tmp_path)

    (kept,) = committed(tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["l40s-stock-2026-12-01.json"]
    assert kept == {name: value for name, value in RUN.items() if name != "profile"}


def test_a_run_of_an_operator_s_makes_a_table_for_its_settings(tmp_path: Path) -> None:
    run, table = tmp_path / "run.json", tmp_path / "gpus.toml"
    run.write_text(json.dumps(RUN))

    main(["--from", str(run), "--to", str(table)])

    card = load_gpus(table).gpu("L40S")
    assert card.measured == {"stock": measured(RUN, GPUS)[1]}
    assert card.usd_per_second == GPUS.gpu("L40S").usd_per_second
