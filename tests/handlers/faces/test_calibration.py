import datetime
import math
from pathlib import Path

import pytest

from config.errors import InvalidInput
from handlers.faces.boxes import Box
from handlers.faces.calibration import (
    Album,
    auc,
    calibrate,
    error_rates,
    means,
    pairs,
    percentile,
    read_album,
    shipped,
    suspects,
)
from handlers.faces.dlib_finder import DlibFinder
from handlers.faces.insightface_finder import FaceAnalyser
from handlers.faces.match import Baseline, Calibration, same_mean, score
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


def calibrated(folder: Path, analyser: FaceAnalyser) -> Calibration:
    return calibrate(read_album(folder, analyser), analyser, TODAY)


def test_labelled_pictures_tell_the_same_person_from_strangers(
    labelled: Path, analyser: FaceAnalyser
) -> None:
    found = calibrated(labelled, analyser)
    assert (found.date, found.embedder) == (TODAY, "auraface-v1")
    assert (found.people, found.pictures, found.without_face) == (3, 9, 0)
    assert found.strangers_mean < 0.5
    assert found.same_mean > 0.7
    assert found.fits(analyser.embedder, analyser.embedder_sha256)
    assert found.same is not None
    assert found.strangers is not None
    assert (found.same.pairs, found.strangers.pairs) == (9, 27)
    assert found.same.least <= found.same.p5 <= found.same_mean <= found.same.p95
    assert found.auc == 1
    assert len({each.sha256 for each in found.photographs}) == 9


def test_a_calibrated_score_can_be_wrong(labelled: Path, analyser: FaceAnalyser) -> None:
    calibration = calibrated(labelled, analyser)

    def matched(name: str) -> float:
        output = analyser.find_faces(portrait({name: Box(90, 70, 220, 260)}, light=0.93))
        reference = analyser.find_faces((labelled / "ann" / "0.png").read_bytes())
        result = score(
            output[0].embedding,
            [reference[0].embedding],
            embedder=analyser.embedder,
            embedder_sha256=analyser.embedder_sha256,
            calibration=calibration,
        )
        assert result.match is not None
        return result.match

    assert matched("ann") > 0.85
    assert matched("fay") < 0.4


def test_pictures_without_a_face_and_other_files_are_left_out(
    labelled: Path, analyser: FaceAnalyser
) -> None:
    whole = calibrated(labelled, analyser)
    (labelled / "ann" / "back.png").write_bytes(portrait({}))
    (labelled / "ann" / "notes.txt").write_text("not a picture")
    (labelled / "readme.txt").write_text("not a person")
    assert calibrated(labelled, analyser) == whole.model_copy(update={"without_face": 1})


def test_a_picture_that_cannot_be_read_is_named_and_stops_nothing(
    labelled: Path, analyser: FaceAnalyser
) -> None:
    torn = labelled / "bob" / "torn.png"
    torn.write_bytes(b"not a picture")

    album = read_album(labelled, analyser)

    ((picture, error),) = album.unreadable
    assert picture == torn
    assert "not a picture" in error.message
    assert calibrate(album, analyser, TODAY).pictures == 9


def test_a_picture_in_the_wrong_folder_is_named(labelled: Path, analyser: FaceAnalyser) -> None:
    stray = labelled / "ann" / "stray.png"
    stray.write_bytes(portrait({"bob": BOXES[1]}, light=0.97))

    (suspect,) = suspects(read_album(labelled, analyser).people)

    assert (suspect.picture, suspect.person, suspect.likest) == (str(stray), "ann", "bob")
    assert suspect.likest_similarity > suspect.similarity


def test_pictures_in_the_right_folders_are_not(labelled: Path, analyser: FaceAnalyser) -> None:
    (labelled / "dan").mkdir()
    (labelled / "dan" / "alone.png").write_bytes(portrait({"dan": BOXES[0]}))
    assert suspects(read_album(labelled, analyser).people) == []


def test_mixed_up_labels_are_found_out(tmp_path: Path, analyser: FaceAnalyser) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        for name in ("ann", "bob"):
            (tmp_path / folder / f"{name}.png").write_bytes(portrait({name: BOXES[0]}))
    with pytest.raises(InvalidInput, match="as alike as"):
        calibrated(tmp_path, analyser)


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


def test_pairs_are_counted_once_each() -> None:
    same, strangers = pairs([[at(0), at(60)], [at(90)]])
    assert same == pytest.approx([0.5])
    assert strangers == pytest.approx([0, math.cos(math.radians(30))])


def test_a_percentile_lies_between_its_neighbours() -> None:
    assert [percentile([0.0, 0.1, 0.4], share) for share in (0, 0.5, 0.75, 1)] == pytest.approx(
        [0, 0.1, 0.25, 0.4]
    )
    assert percentile([0.3], 0.95) == 0.3


def test_auc_counts_ties_half() -> None:
    assert auc([0.5, 0.9], [0.1, 0.5]) == pytest.approx(3.5 / 4)


def test_error_rates_are_those_of_the_gate() -> None:
    rates = error_rates([0.5, 0.8, 0.9, 1.0], [0.0, 0.1, 0.2, 0.86], Baseline(0.0, 1.0))
    assert rates.similarity == pytest.approx(0.85)
    assert (rates.genuine_rejected, rates.strangers_accepted) == (0.5, 0.25)


def test_the_shipped_calibration_is_of_the_embedded_model_s_file(embedded: DlibFinder) -> None:
    found = shipped(embedded.embedder)

    assert found is not None
    assert found.fits(embedded.embedder, embedded.embedder_sha256)
    assert found.auc == 1
    assert found.same is not None
    assert found.strangers is not None
    assert found.same.pairs + found.strangers.pairs == 300
    assert all(each.address.startswith("github.com/") for each in found.photographs)
    assert shipped("auraface-v1") is None


def test_an_album_takes_bodies_from_anywhere(analyser: FaceAnalyser) -> None:
    album = Album()
    album.add("ann", "address/1", portrait({"ann": BOXES[0]}), analyser)
    ((face,),) = album.people.values()
    assert face.picture == "address/1"
