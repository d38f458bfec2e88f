"""Names in a dataset's zip. Pure.

kohya's older way takes the repeats from the folder's name, `<repeats>_<words>`, and cuts file names
at "_" when it looks for captions; ai-toolkit walks all folders below the one it is given. So names
are of `[a-z0-9-]`, and pictures lie in one folder that holds nothing else to train on.
"""

import re
import unicodedata

PICTURES = "img"
"""Folder of all that is trained on."""
SEEN_AN_EPOCH = 200
"""Pictures that an epoch is to show, repeats included."""
MOST_REPEATS = 20
SIDE_STEP = 64
"""Trainers sort pictures into sizes in steps of so many pixels, and cut off the rest."""


def repeats(pictures: int) -> int:
    """How often an epoch shows each of so many pictures, 1 to 20."""
    return min(MOST_REPEATS, max(1, round(SEEN_AN_EPOCH / pictures)))


def folder(pictures: int, trigger: str, class_word: str) -> str:
    """Of so many pictures, such as `img/10_ohwx woman`."""
    return f"{PICTURES}/{repeats(pictures)}_{slug(trigger)} {slug(class_word)}"


def slug(text: str) -> str:
    """Small letters, digits and hyphens of any text; `subject` where none is left."""
    ascii_text = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9]+", "-", ascii_text.lower()).strip("-")[:48].strip("-") or "subject"


def picture_name(number: int, id: str, extension: str) -> str:
    """Of a view's picture; its caption has `txt` in the place of the extension."""
    return f"{number:02d}-{slug(id)}.{extension}"
