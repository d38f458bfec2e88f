import base64
import hashlib
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image
from pydantic import Field

from config.errors import InvalidInput
from handlers.kinds.base import JobInput
from handlers.media.images import MAX_INTAKE_BYTES
from pipeline.inputs.intake import take_in


class FaceInput(JobInput):
    """As a kind with reference faces will have it."""

    prompt: str
    face: str = Field(json_schema_extra={"picture": True})
    more: list[str] = Field(default=[], json_schema_extra={"picture": True})
    named: dict[str, str] = Field(default={}, json_schema_extra={"picture": True})


def image(fmt: str = "PNG", colour: str = "red") -> bytes:
    file = BytesIO()
    Image.new("RGB", (8, 8), colour).save(file, fmt)
    return file.getvalue()


def data_url(body: bytes, kind: str = "png") -> str:
    return f"data:image/{kind};base64,{base64.b64encode(body).decode()}"


@pytest.mark.parametrize(
    "value", ["@face.png", "file:face.png", "file:my%20face.png", "@sub/f.png"]
)
def test_a_local_file_becomes_the_key_of_its_pixels(tmp_path: Path, value: str) -> None:
    (tmp_path / "sub").mkdir()
    for name in ("face.png", "my face.png", "sub/f.png"):
        (tmp_path / name).write_bytes(image())
    taken = take_in({"prompt": "x", "face": value}, FaceInput, tmp_path)

    [stored] = taken.images
    assert taken.input == {"prompt": "x", "face": stored.key}
    assert stored.key == f"inputs/{hashlib.sha256(stored.body).hexdigest()}.png"
    assert stored.content_type == "image/png"
    assert Image.open(BytesIO(stored.body)).getpixel((0, 0)) == (255, 0, 0)


def test_absolute_paths_are_read_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "face.png").write_bytes(image())

    for value in (f"@{tmp_path}/face.png", f"file://{tmp_path}/face.png"):
        assert take_in({"face": value}, FaceInput, Path("/")).images


def test_a_data_url_becomes_a_key(tmp_path: Path) -> None:
    taken = take_in({"face": data_url(image("JPEG"), "jpeg")}, FaceInput, tmp_path)

    [stored] = taken.images
    assert taken.input["face"] == stored.key
    assert stored.key.endswith(".jpg")
    assert stored.content_type == "image/jpeg"


def test_each_of_a_list_is_taken_in_and_equal_ones_once(tmp_path: Path) -> None:
    red, blue = data_url(image()), data_url(image(colour="blue"))
    given = {"face": red, "more": [blue, red, "inputs/there.png", 3]}
    taken = take_in(given, FaceInput, tmp_path)

    keys = [stored.key for stored in taken.images]
    assert taken.input == {"face": keys[0], "more": [keys[1], keys[0], "inputs/there.png", 3]}


def test_each_of_a_mapping_is_taken_in_under_its_name(tmp_path: Path) -> None:
    given = {"named": {"one": data_url(image()), "two": "inputs/there.png", "three": 3}}
    taken = take_in(given, FaceInput, tmp_path)

    [stored] = taken.images
    assert taken.input == {"named": {"one": stored.key, "two": "inputs/there.png", "three": 3}}


def test_only_marked_fields_are_read(tmp_path: Path) -> None:
    given = {"prompt": "@face.png", "face": "inputs/a.png", "unknown": "@face.png"}

    assert take_in(given, FaceInput, tmp_path).input == given


def test_what_is_no_text_is_left_to_validation(tmp_path: Path) -> None:
    assert take_in({"face": 7}, FaceInput, tmp_path).input == {"face": 7}


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("@missing.png", "No such file"),
        ("@.", "Is a directory"),
        ("@note.txt", "not a picture"),
        ("@nul\0.png", "cannot be read"),
        ("data:text/plain;base64,aGk=", "not data:text/plain"),
        ("data:image/png,aGk=", "not said to be base64"),
        (base64.b64encode(b"\xff\xd8\xff" + bytes(90)).decode(), "base64 of a JPEG, and no data"),
        ("data:image/png;base64", "data:image"),
        ("data:image/png;base64,@@@", "not base64"),
        ("data:image/png;base64,aGk=", "not a picture"),
    ],
)
def test_what_is_no_picture_is_refused_by_field(tmp_path: Path, value: str, said: str) -> None:
    (tmp_path / "note.txt").write_text("hello")

    with pytest.raises(InvalidInput, match=said) as caught:
        take_in({"more": [value]}, FaceInput, tmp_path)

    assert caught.value.field == "input.more"


def test_a_huge_file_is_refused_before_it_is_read(tmp_path: Path) -> None:
    with open(tmp_path / "huge.png", "wb") as file:
        file.truncate(MAX_INTAKE_BYTES + 1)

    with pytest.raises(InvalidInput, match="more than"):
        take_in({"face": "@huge.png"}, FaceInput, tmp_path)


@pytest.mark.parametrize(
    "url",
    [
        "data:application/octet-stream;base64,{}",
        "data:;base64,{}",
        "data:image/jpg;name=a.jpg;base64,{}",
        "data:IMAGE/PNG;BASE64,{}",
    ],
)
def test_what_a_data_url_calls_itself_does_not_matter(url: str) -> None:
    body = base64.b64encode(image()).decode()

    assert take_in({"face": url.format(body)}, FaceInput, None).images


def test_base64_that_was_wrapped_into_lines_is_taken() -> None:
    plain = data_url(image())
    head, _, body = plain.partition(",")
    lines = "\r\n".join(body[at : at + 20] for at in range(0, len(body), 20))

    wrapped = take_in({"face": f"{head},\n{lines}\n"}, FaceInput, None)
    assert wrapped == take_in({"face": plain}, FaceInput, None)
