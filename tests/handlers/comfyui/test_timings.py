import pytest

from handlers.comfyui.timings import Part, first_step_excess, fold, part_of
from handlers.kinds.base import Timings

CLASSES = {
    "1": "UNETLoader",
    "4": "CLIPTextEncode",
    "5": "FluxGuidance",
    "9": "KSampler",
    "10": "VAEDecode",
    "save": "SaveImage",
}


@pytest.mark.parametrize(
    ("node_class", "part"),
    [
        ("DualCLIPLoader", Part.LOAD),
        ("LoraLoaderModelOnly", Part.LOAD),
        ("CLIPTextEncodeFlux", Part.ENCODE),
        ("ConditioningZeroOut", Part.ENCODE),
        ("KSampler", Part.SAMPLING),
        ("KSamplerAdvanced", Part.SAMPLING),
        ("SamplerCustomAdvanced", Part.SAMPLING),
        ("VAEDecodeTiled", Part.DECODE),
        ("SaveImage", Part.OTHER),
        ("LoadImage", Part.OTHER),
        ("EmptySD3LatentImage", Part.OTHER),
    ],
)
def test_a_node_class_has_a_part(node_class: str, part: Part) -> None:
    assert part_of(node_class) is part


def test_each_node_gets_the_time_until_the_next_begins() -> None:
    marks = [(0.0, None), (1.0, "1"), (3.0, "4"), (3.5, "5"), (4.0, "9"), (14.0, "10")]
    timings = fold([*marks, (15.0, "save"), (15.25, None)], CLASSES)
    assert timings == Timings(load=2.0, encode=1.0, sampling=10.0, decode=1.0, other=1.25)


def test_a_node_of_unknown_class_counts_under_other() -> None:
    assert fold([(0.0, "99"), (2.0, None)], CLASSES) == Timings(other=2.0)


def test_no_marks_are_no_time() -> None:
    assert fold([], CLASSES) == Timings()
    assert fold([(5.0, "9")], CLASSES) == Timings()


def test_a_first_step_is_held_against_the_median_of_the_others() -> None:
    assert first_step_excess([0.0, 5.0, 6.0, 7.0, 9.0]) == 4.0
    assert first_step_excess([0.0, 1.0, 2.0, 3.0]) == 0.0


@pytest.mark.parametrize("marks", [[], [0.0], [0.0, 9.0], [0.0, 9.0, 10.0]])
def test_too_few_steps_tell_nothing_of_the_first(marks: list[float]) -> None:
    assert first_step_excess(marks) == 0.0


def test_a_first_step_that_was_faster_is_no_gain() -> None:
    assert first_step_excess([0.0, 1.0, 3.0, 5.0]) == 0.0


def test_first_steps_are_part_of_sampling_and_of_no_total() -> None:
    both = Timings(sampling=3.0, first_step=1.0) + Timings(sampling=2.0, first_step=0.5)
    assert (both.first_step, both.total) == (1.5, 5.0)
