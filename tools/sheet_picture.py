"""Writes docs/character-sheet.png: the contact sheet of ten views that the demo made, in few
colours.

    make demo
    python -m tools.sheet_picture [FOLDER]

FOLDER is the demo's, `out/demo` unless given.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from handlers.character_sheet.sheet_files import CONTACT_SHEET
from pipeline.contract.keys import result_key
from pipeline.contract.result import Result

SHEET = "rosa-sheet"
"""The demo's job."""
PAGE_PICTURE = Path(__file__).parents[1] / "docs" / "character-sheet.png"
WIDTH, COLOURS = 924, 256


def small_picture(folder: Path) -> Image.Image:
    """Raises OSError where the demo has no result or no contact sheet, ValueError where the result
    cannot be read."""
    result = Result.model_validate_json((folder / result_key(SHEET)).read_bytes())
    key = {file.name: file.key for file in result.files}.get(CONTACT_SHEET)
    if key is None:
        raise FileNotFoundError(f"{SHEET} has no {CONTACT_SHEET}")
    with Image.open(folder / key) as sheet:
        size = (WIDTH, round(sheet.height * WIDTH / sheet.width))
        return sheet.convert("RGB").resize(size, Image.Resampling.LANCZOS).quantize(COLOURS)


def main(arguments: Sequence[str]) -> None:
    folder = Path(arguments[0] if arguments else "out/demo")
    small_picture(folder).save(PAGE_PICTURE, "PNG", optimize=True)


if __name__ == "__main__":
    main(sys.argv[1:])
