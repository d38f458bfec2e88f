from datetime import date

import pytest

from config.errors import FaceModelsMissing, InvalidInput, NoFace
from handlers.faces.boxes import Box, Embedding, Face, FaceFinder
from handlers.faces.head import Head, five_points
from handlers.faces.match import (
    Baseline,
    Calibration,
    Gate,
    Reason,
    Score,
    worth_another_try,
)
from handlers.faces.measurement import Scorer, nearest
from handlers.faces.references import Reference

NEAR, FAR = (
    Face(Box(0, 0, 40, 40), 0.9, (1.0, 0.0), five_points(Head())),
    Face(Box(200, 0, 80, 80), 0.9, (0.0, 1.0), five_points(Head())),
)


class Finder:
    embedder = "test"
    embedder_sha256 = "0" * 64

    def __init__(self, **pictures: list[Face]) -> None:
        self._pictures = pictures

    def find_faces(self, image: bytes) -> list[Face]:
        return self._pictures[image.decode()]


FINDER = Finder(anna=[NEAR], both=[FAR, NEAR], empty=[])


def scorer(finder: Finder = FINDER) -> Scorer:
    return Scorer.of(lambda: finder, b"anna", lambda: None)


def test_the_face_that_was_made_is_the_one_that_is_scored() -> None:
    score, box = scorer().measure(b"both", near=Box(10, 10, 40, 40))

    assert (score.similarity, score.faces_found, box) == (1.0, 2, NEAR.box)


def test_without_a_place_it_is_the_largest() -> None:
    score, box = scorer().measure(b"both")

    assert (score.similarity, box) == (0.0, FAR.box)


def test_a_picture_without_a_face_has_a_reason_and_no_number() -> None:
    score, box = scorer().measure(b"empty")

    assert (score.similarity, score.reason, box) == (None, Reason.NO_FACE, None)


def test_a_reference_without_a_face_is_an_error() -> None:
    with pytest.raises(NoFace, match="reference picture"):
        Scorer.of(lambda: FINDER, b"empty", lambda: None)


CALIBRATION = Calibration(
    date=date(2026, 1, 1),
    embedder=Finder.embedder,
    embedder_sha256=Finder.embedder_sha256,
    strangers_mean=0.0,
    same_mean=0.8,
    people=2,
    pictures=4,
)
FRONT, LEFT, RIGHT = (1.0, 0.0), (0.0, 1.0), (0.0, -1.0)
"""Embeddings: by a network that finds no likeness between a face and its profile."""


def turned(yaw: float, embedding: Embedding, side: int = 200) -> Face:
    points = tuple((300 + 60 * x, 300 + 60 * y) for x, y in five_points(Head(yaw)))
    return Face(Box(200, 200, side, side), 0.9, embedding, points)


ALBUM = Finder(
    front=[turned(0, FRONT)],
    left=[turned(-70, LEFT)],
    right=[turned(70, RIGHT)],
    made_left=[turned(-65, (0.8, 0.6))],
    made_right=[turned(65, RIGHT)],
    made_front=[turned(5, (0.6, 0.8))],
    made_small=[turned(-65, LEFT, 30)],
)


def album(*names: str, apart: bool = True) -> Scorer:
    """Its references are the pictures of these names."""
    references = [Reference(f"reference_images.{name}", name, name.encode()) for name in names]
    return Scorer.of(lambda: ALBUM, references, lambda: CALIBRATION, profiles_apart=apart)


def test_a_profile_is_scored_against_references_from_its_side() -> None:
    score, _ = album("front", "left").measure(b"made_left")

    assert (score.similarity, score.match) == pytest.approx((0.6, 0.75))
    assert score.reason is Reason.PROFILE, "which says that it counts for no gate"
    assert score.baseline == Baseline(0.0, 0.8)


def test_a_profile_is_not_scored_against_the_other_side() -> None:
    score, _ = album("front", "left").measure(b"made_right")

    assert (score.similarity, score.match, score.reason) == (None, None, Reason.FACE_TURNED)


def test_profiles_are_no_other_person_and_say_nothing_of_a_face_from_the_front() -> None:
    score, _ = album("left", "front", "right").measure(b"made_front")

    assert (score.similarity, score.match) == pytest.approx((0.6, 0.75))
    assert score.reason is None


def test_where_profiles_do_not_stand_apart_they_are_another_person() -> None:
    with pytest.raises(InvalidInput, match="references_differ"):
        album("front", "left", apart=False)


def test_with_profiles_alone_a_face_from_the_front_has_no_number() -> None:
    scorer = album("left")

    assert scorer.measure(b"made_front")[0].reason is Reason.FACE_TURNED
    assert scorer.measure(b"made_left")[0].similarity == pytest.approx(0.6)


def test_a_small_profile_has_a_reason_in_the_place_of_numbers() -> None:
    score, _ = album("front", "left").measure(b"made_small")

    assert (score.similarity, score.reason) == (None, Reason.FACE_TOO_SMALL)


def test_without_models_nothing_gets_a_number() -> None:
    def missing() -> FaceFinder:
        raise FaceModelsMissing("no pack")

    score, box = Scorer.of(missing, b"empty", lambda: None).measure(b"both")

    assert (score.similarity, score.reason, box) == (None, Reason.FACE_MODELS_MISSING, None)


def test_the_nearest_face_is_told_by_its_middle() -> None:
    assert nearest([FAR, NEAR], Box(220, 20, 10, 10)) is FAR


@pytest.mark.parametrize(
    ("gate", "score", "again"),
    [
        (Gate(), Score("e", 1, 0.1), False),
        (Gate(min_similarity=0.5), Score("e", 1, 0.6, reason=Reason.BASELINE_UNKNOWN), False),
        (Gate(min_similarity=0.5), Score("e", 1, 0.4, reason=Reason.BASELINE_UNKNOWN), True),
        (Gate(min_match=0.5), Score("e", 1, 0.4, 0.4), True),
        (Gate(min_match=0.5), Score("e", 1, 0.4, reason=Reason.BASELINE_UNKNOWN), False),
        (Gate(min_match=0.5), Score("e", 0, reason=Reason.NO_FACE), True),
        (Gate(min_similarity=0.5), Score(None, reason=Reason.FACE_MODELS_MISSING), False),
    ],
)
def test_another_seed_is_tried_only_where_it_could_help(
    gate: Gate, score: Score, again: bool
) -> None:
    assert worth_another_try(gate, score) is again
