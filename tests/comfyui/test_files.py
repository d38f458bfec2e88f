"""Files in and out: /view, /upload/image, and where save nodes put things."""

import uuid
from io import BytesIO

import httpx
import pytest
from PIL import Image

from tests.support.comfy_wire import Server, flux_graph


def picture(shade: int) -> bytes:
    buffer = BytesIO()
    Image.new("RGB", (32, 16), (shade, 0, 0)).save(buffer, "PNG")
    return buffer.getvalue()


def upload(server: Server, name: str, body: bytes, **fields: str) -> httpx.Response:
    return httpx.post(
        server.url + "/upload/image", files={"image": (name, body, "image/png")}, data=fields
    )


@pytest.fixture
def prefix() -> str:
    return f"contract/{uuid.uuid4().hex}"


def test_a_saved_picture_is_viewed_as_it_was_saved(server: Server, prefix: str) -> None:
    (saved,) = server.run(flux_graph(server, prefix=f"{prefix}/a")).images
    assert saved == {"filename": "a_00001_.png", "subfolder": prefix, "type": "output"}

    reply = server.get("/view", **saved)

    assert reply.status_code == 200
    assert reply.headers["content-type"] == "image/png"
    assert reply.headers["etag"]
    with Image.open(BytesIO(reply.content)) as image:
        assert (image.format, image.size) == ("PNG", (64, 64))
    head = httpx.head(server.url + "/view", params=saved)
    assert (head.status_code, head.content) == (200, b"")


def test_the_counter_goes_on_from_the_files_that_are_there(server: Server, prefix: str) -> None:
    names = [
        server.run(flux_graph(server, prefix=f"{prefix}/a")).images[0]["filename"] for _ in range(3)
    ]

    assert names == ["a_00001_.png", "a_00002_.png", "a_00003_.png"]


def test_a_batch_is_numbered_through(server: Server, prefix: str) -> None:
    graph = flux_graph(server, prefix=f"{prefix}/a")
    graph["6"]["inputs"]["batch_size"] = 2

    run = server.run(graph)

    assert [image["filename"] for image in run.images] == ["a_00001_.png", "a_00002_.png"]
    bodies = [server.get("/view", **image).content for image in run.images]
    assert bodies[0] != bodies[1]


def test_sizes_expand_in_a_prefix_and_dates_do_not(server: Server, prefix: str) -> None:
    graph = flux_graph(server, prefix=f"{prefix}/x_%date:yyyy%_%width%")

    (saved,) = server.run(graph).images

    assert saved["filename"] == "x_%date:yyyy%_64_00001_.png"


def test_the_graph_is_written_into_the_picture_unless_metadata_is_disabled(
    server: Server, prefix: str
) -> None:
    graph = flux_graph(server, prefix=f"{prefix}/a", text="a secret cat")
    run = server.run(graph, extra_data={"extra_pnginfo": {"mine": {"a": 1}}})

    with Image.open(BytesIO(server.get("/view", **run.images[0]).content)) as image:
        written = dict(image.info)

    if "--disable-metadata" in server.get("/system_stats").json()["system"]["argv"]:
        assert written == {}
    else:
        assert "a secret cat" in written["prompt"]
        assert written["mine"] == '{"a": 1}'


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        ({"filename": "none.png", "type": "output"}, 404),
        ({"filename": "../x.png", "type": "output"}, 400),
        ({"filename": "x.png", "type": "nope"}, 400),
        ({"filename": "x.png", "subfolder": "../.."}, 403),
        ({}, 404),
    ],
)
def test_what_cannot_be_viewed(server: Server, asked: dict[str, str], status: int) -> None:
    assert server.get("/view", **asked).status_code == status


def test_a_preview_is_encoded_anew(server: Server, prefix: str) -> None:
    (saved,) = server.run(flux_graph(server, prefix=f"{prefix}/a")).images

    reply = server.get("/view", **saved, preview="webp;50")

    assert reply.headers["content-type"] == "image/webp"
    with Image.open(BytesIO(reply.content)) as image:
        assert image.format == "WEBP"


def test_an_upload_keeps_its_name_only_for_the_same_bytes(server: Server) -> None:
    stem = uuid.uuid4().hex
    name = f"{stem}.png"

    stored = [upload(server, name, picture(shade)).json() for shade in (1, 1, 2)]

    assert stored == [
        {"name": name, "subfolder": "", "type": "input"},
        {"name": name, "subfolder": "", "type": "input"},
        {"name": f"{stem} (1).png", "subfolder": "", "type": "input"},
    ]
    viewed = server.get("/view", filename=name, type="input")
    assert viewed.content == picture(1)


def test_an_upload_may_overwrite_and_choose_its_folder(server: Server) -> None:
    name, folder = f"{uuid.uuid4().hex}.png", "contract/deep"
    for shade in (1, 2):
        reply = upload(server, name, picture(shade), overwrite="true", subfolder=folder)
        assert reply.json() == {"name": name, "subfolder": folder, "type": "input"}

    viewed = server.get("/view", filename=name, type="input", subfolder=folder)

    assert viewed.content == picture(2)
    temporary = upload(server, name, picture(1), type="temp").json()
    assert temporary["type"] == "temp"


def test_an_upload_without_a_file_or_out_of_its_folder_is_refused(server: Server) -> None:
    assert upload(server, "a.png", picture(1), subfolder="../..").status_code == 400
    bare = httpx.post(server.url + "/upload/image", files={"other": ("", b"")})
    assert bare.status_code == 400


def test_an_uploaded_picture_goes_through_a_graph(server: Server, prefix: str) -> None:
    name = upload(server, f"{uuid.uuid4().hex}.png", picture(200)).json()["name"]
    graph = {
        "load": {"class_type": "LoadImage", "inputs": {"image": name}},
        "crop": {
            "class_type": "ImageCrop",
            "inputs": {"image": ["load", 0], "width": 8, "height": 8, "x": 4, "y": 4},
        },
        "save": {
            "class_type": "SaveImage",
            "inputs": {"images": ["crop", 0], "filename_prefix": f"{prefix}/a"},
        },
    }

    (saved,) = server.run(graph).images

    with Image.open(BytesIO(server.get("/view", **saved).content)) as image:
        assert image.size == (8, 8)
        assert image.convert("RGB").getpixel((0, 0)) == (200, 0, 0)


def test_no_picture_outside_the_input_folder_is_loaded(server: Server, prefix: str) -> None:
    """ComfyUI 0.8.0 loads it (CVE-2026-56673)."""
    (saved,) = server.run(flux_graph(server, prefix=f"{prefix}/secret")).images
    outside = f"../output/{saved['subfolder']}/{saved['filename']}"
    graph = {
        "load": {"class_type": "LoadImage", "inputs": {"image": outside}},
        "save": {
            "class_type": "SaveImage",
            "inputs": {"images": ["load", 0], "filename_prefix": f"{prefix}/stolen"},
        },
    }

    reply = server.prompt(graph)

    assert reply.status_code == 400
    (problem,) = reply.json()["node_errors"]["load"]["errors"]
    assert problem["type"] == "custom_validation_failed"
    assert problem["details"] == f"image - Invalid image file: {outside}"
