import datetime
import math
from statistics import fmean
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from config.errors import InvalidInput
from handlers.faces.boxes import Embedding
from handlers.faces.match import (
    Baseline,
    Calibration,
    Gate,
    Reason,
    Score,
    Spread,
    best,
    match,
    odd_one,
    passes,
    require_above_strangers,
    same_mean,
    score,
    similarity,
    similarity_to,
)

EMBEDDER = "auraface-v1"
SHA256 = "a" * 64
CALIBRATION = Calibration(
    date=datetime.date(2026, 11, 1),
    embedder=EMBEDDER,
    embedder_sha256=SHA256,
    strangers_mean=0.1,
    same_mean=0.6,
    people=12,
    pictures=60,
)
MEASURED_BY: Any = {
    "embedder": EMBEDDER,
    "embedder_sha256": SHA256,
    "calibration": CALIBRATION,
}
parts = st.floats(-1, 1, allow_subnormal=False)
embeddings = st.tuples(parts, parts, parts).filter(lambda vector: math.hypot(*vector) > 1e-3)


def at(degrees: float) -> Embedding:
    return (math.cos(math.radians(degrees)), math.sin(math.radians(degrees)))


@given(embeddings, embeddings)
def test_similarity_is_a_cosine(one: Embedding, other: Embedding) -> None:
    assert -1 <= similarity(one, other) <= 1
    assert similarity(one, other) == pytest.approx(similarity(other, one))
    assert similarity(one, one) == pytest.approx(1)
    assert similarity(one, tuple(-2 * part for part in one)) == pytest.approx(-1)


def test_similarity_of_embeddings_of_different_length_is_a_bug() -> None:
    with pytest.raises(ValueError, match="zip"):
        similarity((1.0, 0.0), (1.0, 0.0, 0.0))


@given(embeddings, st.lists(embeddings, min_size=1, max_size=5))
def test_similarity_to_references_does_not_grow_with_their_number(
    face: Embedding, references: list[Embedding]
) -> None:
    assert similarity_to(face, references) == pytest.approx(similarity_to(face, references * 2))


def test_each_reference_is_left_out_once() -> None:
    turns = (0.0, 20.0, 60.0)
    pairs = [math.cos(math.radians(apart)) for apart in (20, 60, 20, 40, 60, 40)]
    assert same_mean([at(turn) for turn in turns]) == pytest.approx(fmean(pairs))


def test_one_reference_alone_has_nothing_to_be_left_out_of() -> None:
    assert same_mean([at(0)]) is None


@given(st.floats(-1, 1), st.floats(-1, 0.9), st.floats(0.01, 1))
def test_match_is_a_share_that_never_falls_as_similarity_rises(
    similar: float, strangers: float, span: float
) -> None:
    baseline = Baseline(strangers, strangers + span)
    assert 0 <= match(similar, baseline) <= match(min(1.0, similar + 0.1), baseline) <= 1
    assert match(strangers, baseline) == 0
    assert match(baseline.same_mean, baseline) == 1


def test_one_reference_is_measured_against_the_calibrated_means() -> None:
    result = score(
        at(60),
        [at(0)],
        **MEASURED_BY,
        faces_found=2,
    )
    assert result.similarity == pytest.approx(0.5)
    assert result.match == pytest.approx(0.8)
    assert result.baseline == Baseline(strangers_mean=0.1, same_mean=0.6)
    assert (result.embedder, result.faces_found, result.reason) == (EMBEDDER, 2, None)


def test_references_that_are_less_alike_than_usual_are_measured_against_their_own_mean() -> None:
    references = [at(0), at(60)]
    result = score(at(90), references, **MEASURED_BY)
    own = math.cos(math.radians(60))
    similar = fmean([0.0, math.cos(math.radians(30))])
    assert result.baseline is not None
    assert result.baseline.same_mean == pytest.approx(own)
    assert result.match == pytest.approx((similar - 0.1) / (own - 0.1))


def test_near_duplicates_among_references_do_not_raise_what_is_asked_of_others() -> None:
    result = score(at(60), [at(0), at(1)], **MEASURED_BY)
    assert result.baseline == Baseline(strangers_mean=0.1, same_mean=0.6)


@pytest.mark.parametrize(
    "calibration",
    [
        None,
        CALIBRATION.model_copy(update={"embedder": "antelopev2"}),
        CALIBRATION.model_copy(update={"embedder_sha256": "b" * 64}),
        CALIBRATION.model_copy(update={"embedder_sha256": None}),
    ],
)
@pytest.mark.parametrize("references", [[at(0)], [at(0), at(10)]])
def test_without_a_baseline_of_this_embedder_similarity_stands_alone(
    calibration: Calibration | None, references: list[Embedding]
) -> None:
    result = score(at(0), references, **{**MEASURED_BY, "calibration": calibration})
    assert result.similarity == pytest.approx(1, abs=0.02)
    assert (result.match, result.reason) == (None, Reason.BASELINE_UNKNOWN)


@pytest.mark.parametrize("apart", [71, 90])
def test_references_nearer_to_strangers_than_to_one_person_make_no_baseline(apart: float) -> None:
    result = score(
        at(0),
        [at(0), at(apart)],
        **MEASURED_BY,
    )
    assert (result.match, result.reason) == (None, Reason.REFERENCES_DIFFER)


def test_an_output_without_a_face_has_no_numbers() -> None:
    result = score(None, [at(0)], **MEASURED_BY)
    assert result == Score(EMBEDDER, 0, reason=Reason.NO_FACE, embedder_sha256=SHA256)


def test_the_reference_that_is_another_person_is_told() -> None:
    assert odd_one([at(0), at(20), at(90)], CALIBRATION) == 2
    assert odd_one([at(90), at(20), at(0)], CALIBRATION) == 0
    assert odd_one([at(0), at(90)], CALIBRATION) == 1
    assert odd_one([at(0), at(30)], CALIBRATION) is None
    assert odd_one([at(0)], CALIBRATION) is None
    assert odd_one([at(0), at(90)], None) is None


def test_a_least_similarity_that_strangers_reach_is_refused_with_the_number() -> None:
    spread = Spread(sd=0.1, p5=0.0, p95=0.31, least=-0.1, most=0.4, pairs=50)
    measured = CALIBRATION.model_copy(update={"strangers": spread})

    with pytest.raises(InvalidInput, match=r"0\.310") as caught:
        require_above_strangers(0.3, measured)

    assert (caught.value.field, caught.value.value) == ("input.min_face_similarity", 0.3)
    for least, calibration in ((0.32, measured), (None, measured), (0.3, CALIBRATION), (0.3, None)):
        require_above_strangers(least, calibration)


GOOD = Score(EMBEDDER, 1, similarity=0.55, match=0.9)
UNMATCHED = Score(EMBEDDER, 1, similarity=0.55, reason=Reason.BASELINE_UNKNOWN)
FACELESS = Score(EMBEDDER, 0, reason=Reason.NO_FACE)


@pytest.mark.parametrize(
    ("gate", "result", "passed"),
    [
        (Gate(), GOOD, True),
        (Gate(), FACELESS, True),
        (Gate(min_match=0.9), GOOD, True),
        (Gate(min_match=0.91), GOOD, False),
        (Gate(min_match=0.0), UNMATCHED, False),
        (Gate(min_similarity=0.55), UNMATCHED, True),
        (Gate(min_similarity=0.56), UNMATCHED, False),
        (Gate(min_similarity=-1.0), FACELESS, False),
        (Gate(min_match=0.5, min_similarity=0.6), GOOD, False),
    ],
)
def test_a_gate_takes_no_missing_number_for_a_good_one(
    gate: Gate, result: Score, passed: bool
) -> None:
    assert passes(gate, result) is passed


def test_the_best_try_is_the_first_of_the_most_similar() -> None:
    assert best([FACELESS, UNMATCHED, GOOD]) == 1
    assert best([FACELESS, FACELESS]) == 0


def test_a_calibration_survives_being_written_down() -> None:
    assert Calibration.model_validate_json(CALIBRATION.model_dump_json()) == CALIBRATION


@pytest.mark.parametrize("wrong", [{"same_mean": 0.1}, {"strangers_mean": -1.5}, {"people": 1}])
def test_a_calibration_that_cannot_be_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        Calibration.model_validate(CALIBRATION.model_dump() | wrong)
