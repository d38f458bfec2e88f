"""What the stand-in composes, as the embedded face model sees it."""

import io
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from handlers.comfyui.standin.people import drawn_person
from handlers.comfyui.standin.reference_face import HINT
from handlers.comfyui.standin.render import Recipe, render
from handlers.comfyui.standin.sitter import Pasted, Sitting, sitting
from handlers.faces.boxes import Face
from handlers.faces.dlib_finder import DlibFinder, is_installed, load
from handlers.faces.head import Head
from handlers.faces.landmark_image import drawn_points, fitted_landmarks, landmark_image
from handlers.faces.match import similarity
from handlers.faces.view import AskedView, Framing, judge_view
from handlers.faces.view_note import VIEW_NOTE, view_note

pytestmark = pytest.mark.skipif(not is_installed(), reason="needs the embedded face model")

SIZE = (512, 640)
STRANGE, ALIKE = 0.92, 0.95
"""By dlib's network, to which strangers are 0.83 alike."""
RECIPE = Recipe("a person in a garden", 5)


@cache
def finder() -> DlibFinder:
    return load()


def png(image: Image.Image) -> bytes:
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


def faces(image: Image.Image) -> list[Face]:
    return finder().find_faces(png(image))


@pytest.fixture
def inputs(tmp_path: Path) -> Path:
    drawn_person("eve").picture.save(tmp_path / "eve.png")
    Image.new("RGB", (40, 20), (200, 10, 10)).save(tmp_path / "red.png")
    return tmp_path


def graph(strength: float = 1.0, control: str | None = None, who: str = "eve.png") -> Any:
    apply: dict[str, Any] = {"image": ["ref", 0], "ip_weight": strength}
    if control is not None:
        apply["image_kps"] = ["kps", 0]
    return {
        "ref": {"class_type": "LoadImage", "inputs": {"image": who}},
        "kps": {"class_type": "LoadImage", "inputs": {"image": control}},
        "apply": {"class_type": "ApplyInstantIDAdvanced", "inputs": apply},
        "k": {"class_type": "KSampler", "inputs": {"model": ["apply", 0]}},
    }


PLAIN = {"k": {"class_type": "KSampler", "inputs": {}}}


def seated(graph: Any, inputs: Path, noted: Any = None, *, wrong: bool = False) -> Sitting | Pasted:
    who = sitting(graph, "k", noted or {}, inputs, RECIPE, turned_wrong=wrong)
    assert who is not None
    return who


def composed(who: Sitting | Pasted, size: tuple[int, int] = SIZE) -> Image.Image:
    return render(RECIPE, *size, who.composed)


def test_nobody_is_asked_for_nobody_sits(inputs: Path) -> None:
    assert sitting(PLAIN, "k", {}, inputs, RECIPE) is None


def test_a_reference_without_a_face_is_pasted_in(inputs: Path) -> None:
    assert isinstance(seated(graph(who="red.png"), inputs), Pasted)


def test_without_drawn_landmarks_the_head_is_as_in_the_reference(inputs: Path) -> None:
    (face,) = faces(composed(seated(graph(), inputs)))
    assert judge_view(AskedView(Head()), [face], SIZE).ok


@pytest.mark.parametrize(
    "head", [Head(), Head(-35), Head(35), Head(0, 20), Head(0, -20), Head(15, 5, 15)]
)
@pytest.mark.parametrize("framing", [Framing.CLOSE_UP, Framing.HALF])
def test_drawn_landmarks_turn_the_head_as_a_detector_measures_it(
    head: Head, framing: Framing, inputs: Path
) -> None:
    (inputs / "kps.png").write_bytes(landmark_image(head, framing, SIZE))
    found = faces(composed(seated(graph(0.8, "kps.png"), inputs)))
    verdict = judge_view(AskedView(head, framing), found, SIZE)
    assert (verdict.ok, verdict.reason) == (True, None)


@pytest.mark.parametrize("head", [Head(-35), Head()])
def test_a_head_that_is_turned_wrong_on_purpose_is_a_wrong_view(head: Head, inputs: Path) -> None:
    (inputs / "kps.png").write_bytes(landmark_image(head, Framing.CLOSE_UP, SIZE))
    found = faces(composed(seated(graph(1.0, "kps.png"), inputs, wrong=True)))
    assert judge_view(AskedView(head), found, SIZE).wrong


def test_in_a_profile_no_face_is_found(inputs: Path) -> None:
    (inputs / "kps.png").write_bytes(landmark_image(Head(80), Framing.CLOSE_UP, SIZE))
    assert faces(composed(seated(graph(1.0, "kps.png"), inputs))) == []


@pytest.mark.thorough
def test_similarity_follows_strength(inputs: Path) -> None:
    (reference,) = faces(Image.open(inputs / "eve.png"))
    (inputs / "kps.png").write_bytes(landmark_image(Head(), Framing.CLOSE_UP, SIZE))
    reached = []
    for strength in (0.2, 0.5, 0.8, 1.0):
        (face,) = faces(composed(seated(graph(strength, "kps.png"), inputs)))
        reached.append(similarity(face.embedding, reference.embedding))
    assert reached == sorted(reached)
    assert reached[0] < STRANGE
    assert reached[-1] > ALIKE


def test_a_composition_shows_a_stranger_turned_as_its_note_says(inputs: Path) -> None:
    asked = AskedView(Head(30), Framing.CLOSE_UP)
    noted = {HINT: "eve.png", VIEW_NOTE: view_note(asked)}
    found = faces(composed(seated(PLAIN, inputs, noted)))
    assert judge_view(asked, found, SIZE).ok
    (reference,) = faces(Image.open(inputs / "eve.png"))
    assert similarity(found[0].embedding, reference.embedding) < STRANGE


def test_a_view_from_behind_shows_no_face(inputs: Path) -> None:
    noted = {HINT: "eve.png", VIEW_NOTE: view_note(AskedView(None, Framing.HALF))}
    assert faces(composed(seated(PLAIN, inputs, noted))) == []


def test_without_a_reference_the_loras_are_the_person(inputs: Path) -> None:
    noted = {VIEW_NOTE: view_note(AskedView(Head()))}
    first, second = (
        sitting(PLAIN, "k", noted, inputs, Recipe("x", 1, loras=(lora,))) for lora in "ab"
    )
    assert first is not None
    assert second is not None
    assert composed(first).tobytes() != composed(second).tobytes()
    assert len(faces(composed(first))) == 1


@pytest.mark.thorough
@pytest.mark.parametrize("control", [True, False])
def test_a_face_pass_makes_the_face_the_reference_s_and_leaves_its_surroundings(
    control: bool, inputs: Path
) -> None:
    noted = {HINT: "eve.png", VIEW_NOTE: view_note(AskedView(Head(20), Framing.HALF))}
    composition = composed(seated(PLAIN, inputs, noted), (832, 1216))
    (before,) = faces(composition)
    box = before.box
    crop = composition.crop((box.x - 90, box.y - 90, box.right + 90, box.bottom + 90))
    if control:
        moved = [(x - box.x + 90, y - box.y + 90) for x, y in fitted_landmarks(Head(20), box)]
        (inputs / "kps.png").write_bytes(drawn_points(moved, crop.size))
    made = seated(graph(1.0, "kps.png" if control else None), inputs).made_anew(crop)
    (reference,) = faces(Image.open(inputs / "eve.png"))
    (after,) = faces(made)
    assert similarity(after.embedding, reference.embedding) > ALIKE
    assert similarity(before.embedding, reference.embedding) < STRANGE
    assert made.getpixel((4, 4)) == crop.getpixel((4, 4))
    assert judge_view(AskedView(Head(20)), [after], made.size).measured is not None
