from handlers.comfyui.standin.drawn_face import DRAWN_POINTS
from handlers.comfyui.standin.people import Person, drawn_person, stranger
from handlers.faces.head import measured_head


def test_one_name_is_one_person_and_another_name_another() -> None:
    anna, again, bert = (drawn_person(name).picture.tobytes() for name in ("anna", "anna", "bert"))
    assert anna == again != bert


def test_a_drawn_person_looks_at_the_viewer() -> None:
    head = measured_head(DRAWN_POINTS)
    assert max(abs(head.yaw), abs(head.pitch), abs(head.roll)) < 5


def test_nobody_is_a_stranger_to_oneself() -> None:
    anna = drawn_person("anna")
    one = stranger(anna)
    other = stranger(Person(one.picture.copy(), one.points))
    assert one.picture.tobytes() not in (anna.picture.tobytes(), other.picture.tobytes())


def test_skin_and_hair_are_taken_from_the_picture() -> None:
    anna = drawn_person("anna")
    assert sum(anna.skin) > sum(anna.hair)
