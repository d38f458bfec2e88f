from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from handlers.comfyui.standin import reference_face

RED = Image.new("RGB", (40, 20), (200, 10, 10))
PAPER = Image.new("RGB", (100, 100), (255, 255, 255))


def graph(class_type: str = "ApplyInstantIDAdvanced", **inputs: Any) -> dict[str, Any]:
    return {
        "ref": {"class_type": "LoadImage", "inputs": {"image": "anna.png"}},
        "apply": {"class_type": class_type, "inputs": {"image": ["ref", 0], **inputs}},
        "k": {"class_type": "KSampler", "inputs": {"model": ["apply", 0]}},
    }


def middle(image: Image.Image) -> Any:
    return image.getpixel((50, 25))


def test_whom_instantid_is_given_sits() -> None:
    assert reference_face.reference_face(graph(), "k", {}) == "anna.png"


def test_else_whom_the_prompt_names_beside_its_graph() -> None:
    plain = {"k": {"class_type": "KSampler", "inputs": {}}}

    assert (
        reference_face.reference_face(plain, "k", {reference_face.HINT: "bert.png"}) == "bert.png"
    )
    assert reference_face.reference_face(plain, "k", {}) is None
    assert reference_face.likeness(plain, "k", 1) == 0.0


def test_strength_and_seed_decide_how_alike_they_are() -> None:
    def like(strength: float, seed: int = 1) -> float:
        return reference_face.likeness(graph(ip_weight=strength), "k", seed)

    assert 0 == like(0.0) < like(0.5) < like(1.0) <= 1
    assert like(1.0, 1) != like(1.0, 2)
    assert reference_face.likeness(graph("ApplyInstantID", weight=1.0), "k", 1) == like(1.0)


@pytest.mark.parametrize(
    ("likeness", "colour"), [(1.0, (200, 10, 10)), (0.0, (105, 10, 105)), (0.5, (152, 10, 57))]
)
def test_the_reference_is_pasted_in_its_own_colours_or_half_wrong_ones(
    likeness: float, colour: tuple[int, int, int]
) -> None:
    shown = reference_face.seated(PAPER, RED, likeness)

    assert middle(shown) == colour
    assert shown.getpixel((5, 5)) == shown.getpixel((50, 90)) == (255, 255, 255)


def test_a_cut_out_shows_its_own_part_of_the_whole_picture(tmp_path: Path) -> None:
    PAPER.save(tmp_path / "base.png")
    cut = {
        **graph(),
        "base": {"class_type": "LoadImage", "inputs": {"image": "base.png"}},
        "crop": {
            "class_type": "ImageCrop",
            "inputs": {"image": ["base", 0], "x": 0, "y": 0, "width": 60, "height": 60},
        },
        "enc": {"class_type": "VAEEncode", "inputs": {"pixels": ["crop", 0]}},
    }
    cut["k"]["inputs"]["latent_image"] = ["enc", 0]
    encoded = [Image.new("RGB", (60, 60))]

    (made,) = reference_face.made_anew(cut, "k", tmp_path, encoded, RED, 1.0)

    assert made.tobytes() == reference_face.seated(PAPER, RED, 1.0).crop((0, 0, 60, 60)).tobytes()


@pytest.mark.parametrize("name", ["../secret.png", "missing.png"])
def test_only_input_files_are_opened(name: str, tmp_path: Path) -> None:
    with pytest.raises(OSError, match=name):
        reference_face.opened(tmp_path, name)
