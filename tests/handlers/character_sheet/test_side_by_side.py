import io

from PIL import Image

from handlers.character_sheet.contact_sheet import CELL, GAP, HEIGHT, WIDTH
from handlers.character_sheet.side_by_side import HEADING, LABEL, NAMES, PictureRow, side_by_side

RED, BLUE = (200, 20, 20), (20, 20, 200)


def drawn(*rows: PictureRow, words: tuple[str, ...] = ()) -> Image.Image:
    return Image.open(io.BytesIO(side_by_side("With ann", ("ann", "ann-c1"), words, rows)))


def test_each_view_is_a_row_of_before_and_after() -> None:
    small = Image.new("RGB", (WIDTH, HEIGHT), RED), Image.new("RGB", (WIDTH, HEIGHT), BLUE)
    row = PictureRow("01-front", small, ("0.90", "0.95"))
    one, two = drawn(row), drawn(row, PictureRow("02-left", (small[0], None), ("0.90", "missing")))
    assert two.width == one.width == GAP + NAMES + 2 * (WIDTH + GAP)
    assert two.height - one.height == HEIGHT + LABEL + GAP
    middle = one.height - GAP - LABEL - GAP - HEIGHT // 2
    left = GAP + NAMES + WIDTH // 2
    assert one.getpixel((left, middle)) == RED
    assert one.getpixel((left + WIDTH + GAP, middle)) == BLUE
    head = one.height - GAP - LABEL - GAP - HEIGHT - HEADING
    for column in (left - WIDTH // 2, left + WIDTH // 2 + GAP):
        named = one.crop((column, head, column + WIDTH, head + HEADING))
        assert len(named.getcolors() or ()) > 1  # a side and its job stand there
    below = middle + HEIGHT + LABEL + GAP
    assert two.getpixel((left, below)) == RED
    assert two.getpixel((left + WIDTH + GAP, below)) == CELL


def test_long_words_are_broken_and_any_text_can_be_drawn() -> None:
    row = PictureRow("01-ж", (None, None), ("x" * 500, ""))
    short, long = drawn(row), drawn(row, words=("the base of it " * 20, "猫"))
    assert long.width == short.width
    assert long.height > short.height
