"""Every kind on a whole server, through a worker's own studio: what its pixels depend on.

On a real ComfyUI with micro models a picture is noise, but noise that follows from the job.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import ImageChops

from config.errors import NoFace
from config.settings import Settings
from handlers.kinds.registry import KINDS
from tests.comfyui.kind_jobs import (
    ANNA,
    BEN,
    CASES,
    SIZE,
    WITH_FACES,
    Case,
    CredulousShelf,
    Maker,
    opened,
)
from tests.support.comfy_wire import Server
from tests.support.portraits import portrait

pytestmark = pytest.mark.xdist_group("faces")


def test_no_kind_is_left_out() -> None:
    """A sheet's steps run the graphs of the InstantID kinds."""
    assert {case.kind for case in CASES.values()} == set(KINDS) - {"character-sheet"}


@pytest.mark.parametrize("name", CASES)
def test_the_pixels_follow_from_the_seed(maker_for: Callable[[Case], Maker], name: str) -> None:
    case = CASES[name]
    maker = maker_for(case)

    # In this order, as an equal job right after another would be answered from a cache.
    first, other, again = (opened(maker.make(case, seed=seed).body) for seed in (7, 8, 7))

    assert first.size == other.size == SIZE
    assert first.tobytes() != other.tobytes()
    assert first.tobytes() == again.tobytes()


@pytest.mark.parametrize(
    ("with_lora", "without"),
    [("flux-lora", "flux-dev"), ("z-image-turbo-lora", "z-image-turbo")],
)
def test_a_lora_changes_the_pixels(
    maker_for: Callable[[Case], Maker], with_lora: str, without: str
) -> None:
    maker = maker_for(CASES[with_lora])

    assert maker.pixels(CASES[with_lora]) != maker.pixels(CASES[without])


@pytest.mark.parametrize("name", WITH_FACES)
def test_another_person_changes_the_pixels(maker_for: Callable[[Case], Maker], name: str) -> None:
    """Both faces lie at the same place: what tells them apart is the embedding alone."""
    maker = maker_for(CASES[name])

    images = [maker.pixels(CASES[name], people=[person]) for person in (ANNA, BEN)]

    assert images[0] != images[1]


def test_the_nodes_themselves_tell_of_a_reference_without_a_face(
    server: Server, maker_for: Callable[[Case], Maker], tmp_path: Path
) -> None:
    """As they must where our own look at it was mistaken."""
    if not server.real:
        pytest.skip("the stand-in's nodes look for no face")
    maker_for(WITH_FACES["sdxl-instantid"])
    maker = Maker(server, CredulousShelf(Settings(faces_dir=tmp_path)))

    with pytest.raises(NoFace, match="InstantID found no face"):
        maker.make(WITH_FACES["sdxl-instantid"], people=[portrait({})])


@pytest.mark.thorough
@pytest.mark.parametrize("name", WITH_FACES)
def test_another_head_changes_the_pixels(maker_for: Callable[[Case], Maker], name: str) -> None:
    """By the drawn landmarks, which take the place of the face that is there."""
    case = WITH_FACES[name]
    maker = maker_for(case)
    made = {
        maker.pixels(replace(case, fields=case.fields | {"head": head}))
        for head in (None, {"yaw": -35.0}, {"yaw": 35.0})
    }
    assert len(made) == 3


@pytest.mark.parametrize("name", ["flux-instantid-flux-dev", "flux-instantid-z-image"])
def test_the_face_pass_changes_no_pixel_outside_its_box(
    maker_for: Callable[[Case], Maker], name: str
) -> None:
    made = maker_for(CASES[name]).make(CASES[name])

    assert made.composition is not None
    assert made.face is not None
    box = made.face.resampled
    assert box is not None
    assert box.width * box.height < SIZE[0] * SIZE[1]
    changed = ImageChops.difference(opened(made.body), opened(made.composition)).getbbox()
    assert changed is not None
    left, top, right, bottom = changed
    assert box.x <= left < right <= box.right
    assert box.y <= top < bottom <= box.bottom
