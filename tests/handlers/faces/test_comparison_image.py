import io

from PIL import Image

from handlers.faces.boxes import Box, Face
from handlers.faces.comparison_image import GAP, Mark, Panel, comparison_image, in_words, marks
from handlers.faces.match import Baseline, Reason, Score
from tests.support.portraits import portrait

BOX = Box(240, 140, 160, 200)
MEASURED = Score("auraface-v1", 1, 0.712, 0.934, Baseline(0.1, 0.75))
UNMATCHED = Score("auraface-v1", 1, 0.712, reason=Reason.BASELINE_UNKNOWN)


def opened(body: bytes) -> Image.Image:
    return Image.open(io.BytesIO(body))


def test_numbers_are_said_as_they_are_and_missing_ones_by_their_reason() -> None:
    assert in_words(MEASURED) == "similarity 0.71, match 0.93"
    assert in_words(UNMATCHED) == "similarity 0.71, baseline_unknown"
    assert in_words(Score(None, reason=Reason.FACE_MODELS_MISSING)) == "face_models_missing"


def test_each_face_is_marked_with_its_index_and_numbers() -> None:
    face = Face(BOX, 0.9, (1.0,), ())
    assert marks([face, face], [MEASURED, UNMATCHED]) == [
        Mark(BOX, "0: similarity 0.71, match 0.93"),
        Mark(BOX, "1: similarity 0.71, baseline_unknown"),
    ]


def test_panels_stand_side_by_side_at_one_height() -> None:
    wide, tall = portrait({}, size=(400, 200)), portrait({}, size=(200, 400))
    sheet = opened(comparison_image([Panel("base", wide), Panel("result", tall)], height=300))
    assert sheet.width == 600 + 150 + 3 * GAP
    assert sheet.height > 300


def test_a_mark_is_drawn_on_the_box_and_nowhere_else_but_beside_it() -> None:
    image = portrait({"ann": BOX})
    plain = opened(comparison_image([Panel("result", image)], height=480))
    marked = opened(comparison_image([Panel("result", image, [Mark(BOX)])], height=480))
    top = plain.height - 480 - GAP
    changed = [
        (x - GAP, y - top)
        for x in range(plain.width)
        for y in range(plain.height)
        if plain.getpixel((x, y)) != marked.getpixel((x, y))
    ]
    xs, ys = [x for x, _ in changed], [y for _, y in changed]
    assert (min(xs), max(xs)) == (BOX.x, BOX.right - 1)
    assert (min(ys), max(ys)) == (BOX.y, BOX.bottom - 1)
    assert (BOX.x + 80, BOX.y + 100) not in changed
