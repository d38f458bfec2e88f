import io

import pytest
from PIL import Image

from config.errors import InvalidInput, NoFace
from handlers.faces.boxes import Box, Face
from handlers.faces.calibration import shipped
from handlers.faces.dlib_finder import DlibFinder
from handlers.faces.head import Head, five_points
from handlers.faces.reference_pictures import SIDE, prepared
from handlers.faces.references import Reference, faces_of, require_one_person
from tests.support.photographs import astronaut, drawn_sitter, png


def reference(image: Image.Image, key: str = "inputs/a.png") -> Reference:
    return Reference("reference_images.0", key, png(image))


def opened(body: bytes) -> Image.Image:
    return Image.open(io.BytesIO(body))


def test_a_reference_that_shows_nobody_or_two_is_refused_by_its_key(embedded: DlibFinder) -> None:
    both = Image.new("RGB", (1024, 512))
    both.paste(astronaut())
    both.paste(astronaut(), (512, 0))

    with pytest.raises(InvalidInput, match=r"several_faces: inputs/both\.png"):
        faces_of([reference(both, "inputs/both.png")], embedded)
    with pytest.raises(NoFace, match=r"inputs/none\.png") as caught:
        faces_of([reference(Image.new("RGB", (64, 64)), "inputs/none.png")], embedded)
    assert caught.value.field == "input.reference_images.0"


def test_another_person_among_references_is_named(embedded: DlibFinder) -> None:
    people = [
        reference(astronaut(), "inputs/one.png"),
        reference(astronaut().resize((400, 400)), "inputs/two.png"),
        Reference("reference_images.2", "inputs/drawn.png", drawn_sitter()),
    ]
    faces = faces_of(people, embedded)
    unlike = shipped(embedded.embedder)
    assert unlike is not None
    lenient = unlike.model_copy(update={"same_mean": 0.99, "strangers_mean": 0.86})

    with pytest.raises(InvalidInput, match=r"references_differ: inputs/drawn\.png") as caught:
        require_one_person(people, faces, lenient)

    assert caught.value.field == "input.reference_images.2"
    require_one_person(people[:2], faces[:2], unlike)
    require_one_person(people, faces, None)


def face(box: Box, quarters: int = 0) -> Face:
    return Face(box, 0.9, (1.0,), five_points(Head()), quarters=quarters)


def test_one_picture_that_needs_nothing_is_uploaded_as_it_is() -> None:
    given = reference(Image.new("RGB", (300, 200)))
    assert prepared([given], [face(Box(50, 50, 100, 100))]) == [given.body]
    assert prepared([given], [None]) == [given.body]


def test_a_face_that_fills_the_picture_gets_room_around_it() -> None:
    given = reference(Image.new("RGB", (300, 200)))
    (body,) = prepared([given], [face(Box(50, 10, 150, 180))])
    assert opened(body).size == (450, 350)


def test_a_picture_on_its_side_is_set_upright() -> None:
    given = reference(Image.new("RGB", (300, 200)))
    (body,) = prepared([given], [face(Box(50, 50, 100, 100), quarters=1)])
    assert opened(body).size == (200, 300)


def test_several_pictures_come_in_one_size_and_whole() -> None:
    given = [reference(Image.new("RGB", size, "red")) for size in ((300, 200), (100, 400))]
    bodies = prepared(given, [face(Box(50, 50, 100, 100)), None])
    assert [opened(body).size for body in bodies] == [(400, 400)] * 2
    assert opened(bodies[0]).getpixel((200, 200)) == (255, 0, 0)
    assert opened(bodies[0]).getpixel((200, 10)) != (255, 0, 0)
    large = [reference(Image.new("RGB", (2000, 100)))] * 2
    assert opened(prepared(large, [None, None])[0]).size == (SIDE, SIDE)
