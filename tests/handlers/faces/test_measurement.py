import pytest

from config.errors import FaceModelsMissing, NoFace
from handlers.faces.boxes import Box, Face, FaceFinder
from handlers.faces.head import Head, five_points
from handlers.faces.match import Gate, Reason, Score, worth_another_try
from handlers.faces.measurement import Scorer, nearest

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
