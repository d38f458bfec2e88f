import datetime
import math
from pathlib import Path

import pytest

from config.errors import InvalidInput
from handlers.faces.boxes import Box
from handlers.faces.calibration import calibrate, means
from handlers.faces.insightface_finder import FaceAnalyser
from handlers.faces.match import same_mean, score
from tests.support.portraits import portrait

pytestmark = pytest.mark.xdist_group("faces")

TODAY = datetime.date(2026, 11, 23)
BOXES = (Box(240, 140, 160, 200), Box(40, 60, 120, 150), Box(420, 200, 130, 170))
PEOPLE = ("ann", "bob", "cyd")


def at(degrees: float) -> tuple[float, ...]:
    return (math.cos(math.radians(degrees)), math.sin(math.radians(degrees)))


@pytest.fixture
def labelled(tmp_path: Path) -> Path:
    """Three people, three pictures of each."""
    for name in PEOPLE:
        (tmp_path / name).mkdir()
        for number, box in enumerate(BOXES):
            image = portrait({name: box}, light=1 - number / 20)
            (tmp_path / name / f"{number}.png").write_bytes(image)
    return tmp_path


def test_labelled_pictures_tell_the_same_person_from_strangers(
    labelled: Path, analyser: FaceAnalyser
) -> None:
    found = calibrate(labelled, analyser, TODAY)
    assert (found.date, found.embedder) == (TODAY, "auraface-v1")
    assert (found.people, found.pictures, found.without_face) == (3, 9, 0)
    assert found.strangers_mean < 0.5
    assert found.same_mean > 0.7


def test_a_calibrated_score_can_be_wrong(labelled: Path, analyser: FaceAnalyser) -> None:
    calibration = calibrate(labelled, analyser, TODAY)

    def matched(name: str) -> float:
        output = analyser.find_faces(portrait({name: Box(90, 70, 220, 260)}, light=0.93))
        reference = analyser.find_faces((labelled / "ann" / "0.png").read_bytes())
        result = score(
            output[0].embedding,
            [reference[0].embedding],
            embedder=analyser.embedder,
            calibration=calibration,
        )
        assert result.match is not None
        return result.match

    assert matched("ann") > 0.85
    assert matched("fay") < 0.4


def test_pictures_without_a_face_and_other_files_are_left_out(
    labelled: Path, analyser: FaceAnalyser
) -> None:
    whole = calibrate(labelled, analyser, TODAY)
    (labelled / "ann" / "back.png").write_bytes(portrait({}))
    (labelled / "ann" / "notes.txt").write_text("not a picture")
    (labelled / "readme.txt").write_text("not a person")
    assert calibrate(labelled, analyser, TODAY) == whole.model_copy(update={"without_face": 1})


def test_a_picture_that_cannot_be_read_is_named(labelled: Path, analyser: FaceAnalyser) -> None:
    (labelled / "bob" / "torn.png").write_bytes(b"not a picture")
    with pytest.raises(InvalidInput, match=r"bob/torn\.png"):
        calibrate(labelled, analyser, TODAY)


def test_mixed_up_labels_are_found_out(tmp_path: Path, analyser: FaceAnalyser) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        for name in ("ann", "bob"):
            (tmp_path / folder / f"{name}.png").write_bytes(portrait({name: BOXES[0]}))
    with pytest.raises(InvalidInput, match="as alike as"):
        calibrate(tmp_path, analyser, TODAY)


def test_every_person_counts_once_however_many_pictures_there_are() -> None:
    few, many = [at(0), at(20)], [at(90), at(90), at(90), at(130)]
    strangers, same = means([few, many])
    within = (same_mean(few), same_mean(many))
    assert None not in within
    assert same == pytest.approx(sum(one or 0 for one in within) / 2)
    assert strangers == pytest.approx(means([many, few])[0])


@pytest.mark.parametrize("people", [[], [[at(0), at(10)]], [[at(0)], [at(90)]]])
def test_too_few_pictures_are_refused(people: list[list[tuple[float, ...]]]) -> None:
    with pytest.raises(InvalidInput, match="more than one"):
        means(people)
