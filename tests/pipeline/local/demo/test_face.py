import io
from dataclasses import replace
from pathlib import Path

from PIL import Image

from config.settings import Settings
from pipeline.contract.result import Status
from pipeline.local.demo.face import PEOPLE, add_demo_people, with_faces_expected
from pipeline.local.demo.manifests import Example, read_example
from tests.pipeline.loras.support import Bucket

ROSA = "inputs/demo-rosa-left.png"


def example(id: str, model: str, input: str) -> Example:
    return read_example(id, f'{{"model": "{model}", "input": {input}}}'.encode())


SHEET = example("a", "character-sheet", f'{{"reference_images": ["{ROSA}"]}}')
TWO_PASSES = example(
    "b", "character-sheet", f'{{"reference_images": ["{ROSA}"], "base": "flux-dev"}}'
)
PEBBLE = example("c", "flux-dev", '{"prompt": "a pebble"}')


def test_only_pictures_that_are_named_are_stored() -> None:
    bucket = Bucket()
    add_demo_people(bucket.store, [SHEET, TWO_PASSES, PEBBLE])
    assert [entry.key for entry in bucket.store.list("").entries] == [ROSA]


def test_a_picture_is_drawn_the_same_every_time_and_no_two_are_alike() -> None:
    drawn = [draw() for draw in PEOPLE.values()]
    assert drawn == [draw() for draw in PEOPLE.values()]
    assert len({*drawn}) == len(drawn)
    assert Image.open(io.BytesIO(drawn[1])).size == (640, 800)


def test_where_faces_are_found_every_example_ends_as_it_says() -> None:
    examples = [SHEET, TWO_PASSES, PEBBLE]
    assert with_faces_expected(examples, Settings()) == examples


def test_without_a_face_model_only_what_needs_a_box_is_refused(tmp_path: Path) -> None:
    settings = Settings(faces_dir=tmp_path, faces_pack="buffalo_l")
    expected = with_faces_expected([SHEET, TWO_PASSES, PEBBLE], settings)
    assert expected == [SHEET, replace(TWO_PASSES, expected=Status.REJECTED), PEBBLE]
