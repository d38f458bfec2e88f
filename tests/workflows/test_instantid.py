from typing import Any

import pytest

from workflows.graph import Graph
from workflows.instantid import Crop, Identity, Sampling, face_pass, text_to_image
from workflows.interfaces import committed
from workflows.validation import require_valid

WEIGHTS = {"checkpoint": "sdxl.safetensors", "instantid": "ip.bin", "controlnet": "cn.safetensors"}
WHO = Identity("anna.png", strength=0.9, controlnet_strength=0.5, start_at=0.1, end_at=0.8)
HOW = Sampling(3, 25, 4.5, "euler", "karras", denoise=0.6)
PLACE = Crop(100, 50, 200, 200)


def passed(**changes: Any) -> Graph:
    asked: dict[str, Any] = {
        "picture": "base.png",
        "crop": PLACE,
        "prompt": "a portrait",
        "negative_prompt": "blurry",
        "identity": WHO,
        "sampling": HOW,
        "filename_prefix": "f",
    }
    return face_pass(WEIGHTS, **(asked | changes))


def made() -> Graph:
    return text_to_image(
        WEIGHTS,
        prompt="a portrait",
        negative_prompt="blurry",
        width=768,
        height=1024,
        identity=WHO,
        sampling=HOW,
        filename_prefix="f",
    )


def test_both_fit_the_node_interfaces() -> None:
    require_valid(made(), committed())
    require_valid(passed(), committed())


def test_both_halves_of_instantid_act_as_they_are_told() -> None:
    for graph in (made(), passed()):
        inputs = graph["instantid"].inputs
        assert (inputs["ip_weight"], inputs["cn_strength"]) == (0.9, 0.5)
        assert (inputs["start_at"], inputs["end_at"]) == (0.1, 0.8)
        sampler = graph["sampler"].inputs
        assert [sampler[name].node for name in ("model", "positive", "negative")] == [
            "instantid"
        ] * 3


def test_a_whole_picture_is_posed_as_the_reference_and_a_face_as_the_composition() -> None:
    assert "image_kps" not in made()["instantid"].inputs
    assert passed()["instantid"].inputs["image_kps"].node == "enlarge"


def test_the_face_is_cut_out_and_pasted_back_at_the_same_place_and_size() -> None:
    graph = passed()
    crop, paste = graph["crop"].inputs, graph["paste"].inputs
    assert (crop["x"], crop["y"], crop["width"], crop["height"]) == PLACE
    assert (paste["x"], paste["y"]) == PLACE[:2]
    shrunk, mask = graph["shrink"].inputs, graph["solid"].inputs
    assert (shrunk["width"], shrunk["height"]) == PLACE[2:] == (mask["width"], mask["height"])
    assert paste["destination"] == crop["image"]
    assert paste["mask"].node == "mask"


@pytest.mark.parametrize(
    ("size", "worked_on"),
    [((200, 200), (1024, 1024)), ((300, 200), (1024, 680)), ((1600, 1600), (1024, 1024))],
)
def test_it_is_worked_on_at_the_size_of_sdxl_in_its_own_shape(
    size: tuple[int, int], worked_on: tuple[int, int]
) -> None:
    enlarged = passed(crop=Crop(0, 0, *size))["enlarge"].inputs
    assert (enlarged["width"], enlarged["height"]) == worked_on


def test_the_mask_fades_on_every_side_within_the_crop() -> None:
    fades = passed()["mask"].inputs
    assert [fades[side] for side in ("left", "top", "right", "bottom")] == [25] * 4
