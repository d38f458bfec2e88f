from pathlib import Path

import pytest
from PIL import Image

from tests.support.jobs import a_result
from tools.sheet_picture import COLOURS, PAGE_PICTURE, SHEET, WIDTH, small_picture


def demo(folder: Path, *names: str) -> Path:
    """A demo's folder with a sheet of these files."""
    files = [
        {"name": name, "key": f"jobs/{SHEET}/{name}", "bytes": 1, "sha256": "", "content_type": ""}
        for name in names
    ]
    (folder / "jobs" / SHEET).mkdir(parents=True)
    for file in files:
        Image.new("RGB", (1232, 876), (80, 220, 120)).save(folder / str(file["key"]), "PNG")
    body = a_result(id=SHEET, files=files).model_dump_json()
    (folder / "jobs" / SHEET / "result.json").write_text(body)
    return folder


def test_it_is_the_contact_sheet_in_small_with_few_colours(tmp_path: Path) -> None:
    picture = small_picture(demo(tmp_path, "contact-sheet.png"))

    assert picture.size == (WIDTH, 657)
    assert picture.mode == "P"
    assert len(picture.getcolors() or ()) <= COLOURS


def test_a_demo_without_contact_sheet_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="contact-sheet"):
        small_picture(demo(tmp_path))


def test_the_page_loads_a_small_file() -> None:
    assert PAGE_PICTURE.stat().st_size < 150_000
