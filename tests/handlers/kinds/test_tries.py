"""Tries of one picture in two passes: what is made again, and in what."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from handlers.faces.boxes import Box, Face
from handlers.faces.head import Head
from handlers.faces.match import Score
from handlers.faces.measurement import FaceTry
from handlers.faces.view import AskedView, ViewReason, ViewVerdict
from handlers.kinds.base import PromptRun, Rendered, Timings
from handlers.kinds.flux_instantid_input import FluxInstantIdInput
from handlers.kinds.tries import Attempt, Composed, TwoPassTries, two_pass_attempts
from tests.support.graph_runners import GraphStudio
from workflows.graph import Graph

FACE = Face(Box(0, 0, 9, 9), 0.9, (1.0,), ())
ASKED = AskedView(Head())


class Clock(GraphStudio):
    """Has time for so many further seconds; each step takes one."""

    def __init__(self, seconds: float = 99.0) -> None:
        self.seconds = seconds

    def render(
        self, graph: Graph, *, part: int, parts: int, then: Graph | None = None
    ) -> PromptRun:
        raise AssertionError("the steps draw nothing")

    def has_time_for(self, seconds: float) -> bool:
        return seconds <= self.seconds


class Studio:
    """Compositions and faces turn out as said, by the number of the try: `.` as asked, `w` of a
    wrong view, `0` without a face, `-` below the gate."""

    def __init__(self, compositions: str, faces: str, clock: Clock | None = None) -> None:
        self.compositions, self.faces, self.clock = compositions, faces, clock or Clock()
        self.steps: list[str] = []
        self.seeds: list[int] = []

    def compose(self, seed: int, number: int) -> Composed:
        self._step(f"c{number}", seed)
        said = self.compositions[number]
        picture = Rendered(
            body=b"",
            name=f"c{number}",
            size=None,
            format="png",
            seed=seed,
            timings=Timings(sampling=1.0),
            graph_sha256="",
            weights={},
        )
        return Composed(picture, None if said == "0" else FACE, said != ".")

    def make_face(self, composed: Composed, seed: int, number: int) -> Attempt:
        self._step(f"t{number} in {composed.picture.name}", seed)
        said = self.faces[number]
        score = Score("e", similarity=0.2 if said == "-" else 0.9)
        reason = ViewReason.WRONG_YAW if said == "w" else None
        view = ViewVerdict(ASKED, Head(), ok=said != "w", reason=reason)
        return Attempt(b"", Graph(), Timings(), FaceTry(score, FACE.box, seed, 1.0, view))

    def _step(self, name: str, seed: int) -> None:
        self.steps.append(name)
        self.seeds.append(seed)

    def take(self, **fields: Any) -> TwoPassTries:
        given: Mapping[str, Any] = {
            "prompt": "x",
            "reference_image": "inputs/a.png",
            "min_face_similarity": 0.5,
            **fields,
        }
        request = FluxInstantIdInput.model_validate(given)
        return two_pass_attempts(request, self.clock, 7, self.compose, self.make_face)


@pytest.mark.parametrize(
    ("compositions", "faces", "steps"),
    [
        (".", ".", ["c0", "t0 in c0"]),
        ("..", "-.", ["c0", "t0 in c0", "t1 in c0"]),
        ("..", "w.", ["c0", "t0 in c0", "c1", "t1 in c1"]),
        ("w..", " .", ["c0", "c1", "t1 in c1"]),
        ("0..", " .", ["c0", "c1", "t1 in c1"]),
        ("w..", " -.", ["c0", "c1", "t1 in c1", "t2 in c1"]),
        ("...", "---", ["c0", "t0 in c0", "t1 in c0", "t2 in c0"]),
    ],
)
def test_what_is_wrong_with_a_composition_takes_another_and_what_is_with_a_face_does_not(
    compositions: str, faces: str, steps: Sequence[str]
) -> None:
    studio = Studio(compositions, faces)
    studio.take()
    assert studio.steps == steps


@pytest.mark.parametrize(
    ("compositions", "steps"),
    [
        ("www", ["c0", "c1", "c2", "t2 in c0"]),
        ("0w0", ["c0", "c1", "c2", "t2 in c1"]),
        ("000", ["c0", "c1", "c2"]),
    ],
)
def test_where_none_is_as_asked_the_first_with_a_face_has_it_made(
    compositions: str, steps: Sequence[str]
) -> None:
    studio = Studio(compositions, "  .")
    tries = studio.take()
    assert studio.steps == steps
    assert len(tries.compositions) == 3
    assert len(tries.faces) == len(steps) - 3


def test_a_face_that_was_made_is_not_followed_by_one_in_a_wrong_composition() -> None:
    studio = Studio(".ww", "w")
    tries = studio.take()
    assert studio.steps == ["c0", "t0 in c0", "c1", "c2"]
    assert [composed.picture.name for composed, _ in tries.faces] == ["c0"]


@pytest.mark.parametrize(
    ("seconds", "compositions", "faces", "steps"),
    [
        (0.5, "w.", ".", ["c0", "t0 in c0"]),
        (0.5, "..", "-.", ["c0", "t0 in c0"]),
        (1.5, "..", "w.", ["c0", "t0 in c0"]),
        (1.5, "..", "-.", ["c0", "t0 in c0", "t1 in c0"]),
    ],
)
def test_nothing_is_made_again_beyond_time_and_budget(
    seconds: float, compositions: str, faces: str, steps: Sequence[str]
) -> None:
    studio = Studio(compositions, faces, Clock(seconds))
    studio.take()
    assert studio.steps == steps


def test_one_try_is_one_composition_and_one_face() -> None:
    studio = Studio("w", ".")
    studio.take(max_tries=1)
    assert studio.steps == ["c0", "t0 in c0"]


def test_a_try_has_one_seed_for_both_and_the_first_is_the_picture_s_own() -> None:
    studio = Studio("...", "w-.")
    studio.take()
    assert studio.steps == ["c0", "t0 in c0", "c1", "t1 in c1", "t2 in c1"]
    first, second, third = studio.seeds[0], studio.seeds[2], studio.seeds[4]
    assert studio.seeds == [first, first, second, second, third]
    assert first == 7
    assert len({first, second, third}) == 3
