import pytest
from PIL import Image

from handlers.faces.upright import edges_back, find_upright, padded, point_back, turned

SIZE = (40, 30)
DOT = (7, 4)


def dotted() -> Image.Image:
    image = Image.new("L", SIZE)
    image.putpixel(DOT, 255)
    return image


def dots(image: Image.Image) -> list[tuple[int, int]]:
    width, bytes_ = image.width, image.tobytes()
    return [divmod(at, width)[::-1] for at, level in enumerate(bytes_) if level]


@pytest.mark.parametrize("quarters", [0, 1, 2, 3])
def test_a_point_of_a_turned_picture_is_brought_back(quarters: int) -> None:
    ((x, y),) = dots(turned(dotted(), quarters))
    assert point_back((x + 0.5, y + 0.5), quarters, SIZE) == (DOT[0] + 0.5, DOT[1] + 0.5)


@pytest.mark.parametrize("quarters", [0, 1, 2, 3])
def test_edges_stay_in_their_order(quarters: int) -> None:
    left, top, right, bottom = edges_back((2.0, 3.0, 9.0, 20.0), quarters, SIZE)
    assert left < right
    assert top < bottom
    assert sorted((right - left, bottom - top)) == [7, 17]


@pytest.mark.parametrize(
    ("scores", "quarters", "looks"),
    [
        ((0.95, 1.0, 1.0, 1.0), 0, 1),
        ((0.5, 0.6, 0.95, 0.55), 2, 4),
        ((0.8, 0.7, 0.0, 0.8), 0, 4),
        ((0.0, 0.0, 0.0, 0.0), 0, 4),
        ((0.0, 0.0, 0.0, 0.4), 3, 4),
    ],
)
def test_a_picture_is_turned_only_where_another_side_is_surer(
    scores: tuple[float, ...], quarters: int, looks: int
) -> None:
    seen: list[Image.Image] = []

    def look(image: Image.Image) -> list[float]:
        seen.append(image)
        return [score] if (score := scores[len(seen) - 1]) else []

    found, _ = find_upright(dotted(), look, lambda score: score, sure=0.9)

    assert (found, len(seen)) == (quarters, looks)


def test_a_padded_picture_has_the_picture_in_its_middle() -> None:
    around, (x, y) = padded(dotted().convert("RGB"))
    assert around.size == (SIZE[0] + 2 * x, SIZE[1] + 2 * y)
    assert around.crop((x, y, x + SIZE[0], y + SIZE[1])).tobytes() == (
        dotted().convert("RGB").tobytes()
    )
