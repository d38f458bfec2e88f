import io
import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

from handlers.faces.boxes import Box
from tests.pipeline.cli.conftest import Ryla
from tests.support import commands
from tests.support.photographs import astronaut, drawn_sitter, png
from tests.support.portraits import portrait

pytestmark = pytest.mark.xdist_group("faces")

PLACE = Box(240, 140, 160, 200)


@pytest.fixture
def folder(tmp_path: Path, packs: Path) -> Path:
    """Pictures of two people, and a face pack where it is looked for."""
    shutil.copytree(packs, tmp_path / ".ryla" / "faces")
    for name in ("anna", "bert"):
        for number, light in enumerate((1.0, 0.9)):
            path = tmp_path / "people" / name / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(portrait({name: PLACE}, light=light))
    (tmp_path / "nobody.png").write_bytes(portrait({}))
    return tmp_path


def test_faces_are_scored_against_a_reference_and_drawn(folder: Path) -> None:
    people = ("people/anna/1.png", "people/bert/0.png", "nobody.png")
    # A process of its own: what insightface says when it is first imported must not come through.
    code, answer, errors = commands.ryla(
        "faces", "score", "people/anna/0.png", *people, "--out", "s.png", "--json", cwd=folder
    )

    assert (code, errors) == (0, "")
    said = json.loads(answer)
    assert said["embedder"] == "auraface-v1"
    anna, bert, nobody = said["pictures"]
    assert anna["faces"][0]["similarity"] > 0.9
    assert bert["faces"][0]["similarity"] < 0.5
    assert anna["faces"][0]["reason"] == "baseline_unknown"
    assert nobody["faces"] == []
    sheet = Image.open(io.BytesIO((folder / "s.png").read_bytes()))
    assert sheet.width > 3 * sheet.height


@pytest.mark.thorough
def test_calibration_gives_later_scores_a_match(folder: Path, bare_ryla: Ryla) -> None:
    answer = bare_ryla("faces", "calibrate", "people", "--json")
    assert (answer.code, answer.err) == (0, "")
    means = answer.document
    assert means["same_mean"] > means["strangers_mean"]
    assert Path(means["file"]).parent == folder / ".ryla" / "faces"

    answer = bare_ryla("faces", "score", "people/anna/0.png", "people/anna/1.png", "--json")

    (picture,) = answer.document["pictures"]
    assert picture["faces"][0]["match"] > 0.9
    assert picture["faces"][0]["reason"] is None


@pytest.mark.thorough
def test_a_picture_in_the_wrong_folder_is_named_with_spreads_and_error_rates(
    folder: Path, bare_ryla: Ryla
) -> None:
    (folder / "people" / "anna" / "2.png").write_bytes(portrait({"anna": PLACE}, light=0.95))
    shutil.copy(folder / "people" / "bert" / "0.png", folder / "people" / "anna" / "3.png")

    shown = bare_ryla("faces", "calibrate", "people").out

    assert "people/anna/3.png may not be anna" in shown
    assert "A match of 0.85 is a similarity of" in shown
    assert "strangers" in shown


def test_folders_are_taken_and_one_torn_picture_is_named_and_stops_nothing(
    folder: Path, bare_ryla: Ryla
) -> None:
    (folder / "people" / "anna" / "torn.png").write_bytes(b"torn")
    paths = ("people/anna", "people/bert/0.png")

    answer = bare_ryla("faces", "score", "people/anna/0.png", *paths, "--json")

    assert answer.code == 1
    assert len(answer.document["pictures"]) == 3
    assert [each["picture"] for each in answer.document["unreadable"]] == ["people/anna/torn.png"]
    assert "people/anna/torn.png is left out: not a picture" in answer.err
    assert bare_ryla("faces", "calibrate", "people").code == 1
    both = ("compare", "people/anna", "people/bert", "--ref", "people/anna/0.png")
    assert bare_ryla("faces", *both).code == 1


def test_without_a_pack_the_embedded_model_gives_a_match_at_once(
    tmp_path: Path, bare_ryla: Ryla
) -> None:
    (tmp_path / "astronaut.png").write_bytes(png(astronaut()))
    (tmp_path / "sitter.png").write_bytes(drawn_sitter())
    pictures = ("astronaut.png", "sitter.png")

    said = bare_ryla("faces", "score", "astronaut.png", *pictures, "--json").document

    assert said["embedder"] == "dlib-resnet-v1"
    assert said["embedder_sha256"].startswith("55533b28a958")
    astronaut_again, sitter = (each["faces"][0] for each in said["pictures"])
    assert astronaut_again["match"] == 1
    assert sitter["match"] < 0.85


@pytest.mark.thorough
@pytest.mark.usefixtures("folder")
def test_two_folders_are_set_side_by_side(bare_ryla: Ryla) -> None:
    both = ("people/anna", "people/bert")
    arguments = ("faces", "compare", *both, "--ref", "people/anna/0.png")
    shown = bare_ryla(*arguments).out

    first, second = bare_ryla(*arguments, "--json").document["folders"]
    assert first["mean"] > second["mean"]
    assert (first["pictures"], first["without_face"]) == (2, 0)
    assert "people/anna keeps the face better" in shown


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("score", "nobody.png", "people/anna/0.png"), "no_face"),
        (("score", "people/anna/0.png", "missing.png"), "invalid_input"),
        (("compare", "people/anna", "nowhere", "--ref", "people/anna/0.png"), "invalid_input"),
        (("calibrate", "people/anna"), "invalid_input"),
        (("score", "--pack", "other", "nobody.png", "nobody.png"), "face_models_missing"),
    ],
)
def test_what_cannot_be_measured_is_said_with_what_to_do(
    arguments: tuple[str, ...], code: str, bare_ryla: Ryla
) -> None:
    answer = bare_ryla("faces", *arguments, "--json")

    assert (answer.code, answer.out) == (1, "")
    assert answer.error["code"] == code
    assert "Traceback" not in answer.err
