"""Several pictures of one person, as the real nodes take them: in a batch, by the mean of all."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.comfyui.kind_jobs import (
    ANNA,
    SMALL_ANNA,
    SQUARE_ANNA,
    WITH_FACES,
    Case,
    Maker,
)
from tests.support.comfy_wire import Server

pytestmark = pytest.mark.xdist_group("faces")


@pytest.fixture
def pixels(server: Server, maker_for: Callable[[Case], Maker]) -> Callable[..., bytes]:
    """Of a case with a head of its own, so that the references say who it is and nothing else."""
    if not server.real:
        pytest.skip("the stand-in looks at the first reference alone")

    def made(name: str, *people: bytes) -> bytes:
        case = WITH_FACES[name]
        turned = replace(case, fields=case.fields | {"head": {"yaw": 20.0}})
        return maker_for(case).pixels(turned, people=people)

    return made


@pytest.mark.parametrize("name", WITH_FACES)
def test_pictures_of_several_sizes_go_in_together(pixels: Callable[..., bytes], name: str) -> None:
    assert pixels(name, ANNA, SMALL_ANNA, SQUARE_ANNA) != pixels(name, ANNA)


def test_their_order_does_not_matter_to_the_face(pixels: Callable[..., bytes]) -> None:
    one, other = (
        pixels("sdxl-instantid", *people)
        for people in ((SQUARE_ANNA, SMALL_ANNA), (SMALL_ANNA, SQUARE_ANNA))
    )
    assert one == other


def test_a_picture_given_twice_is_as_if_given_once(pixels: Callable[..., bytes]) -> None:
    once, twice = (pixels("sdxl-instantid", *[SQUARE_ANNA] * times) for times in (1, 2))
    assert once == twice
