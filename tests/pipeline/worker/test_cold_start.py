from handlers.kinds.base import Timings
from pipeline.models.preload import PreloadReport
from pipeline.worker.cold_start import WARM, ColdStart


def test_a_cold_start_is_the_sum_of_what_was_waited_for() -> None:
    assert ColdStart(container=2.0, imports=1.5, comfyui=15.0).seconds == 18.5
    assert WARM.seconds == 0


def test_its_parts_are_told_beside_what_the_job_itself_took_longer() -> None:
    parts = ColdStart(container=2.0, imports=1.5, comfyui=15.0).parts(
        Timings(load=3.0, sampling=9.0, first_step=4.0), PreloadReport(bytes=7, seconds=0.5)
    )
    assert parts is not None
    assert parts.model_dump() == {
        "container": 2.0,
        "imports": 1.5,
        "comfyui": 15.0,
        "weights": 3.0,
        "first_step": 4.0,
        "read_ahead": 0.5,
        "read_ahead_bytes": 7,
    }


def test_a_warm_job_has_no_such_parts() -> None:
    assert WARM.parts(Timings(load=3.0), PreloadReport(bytes=7)) is None
