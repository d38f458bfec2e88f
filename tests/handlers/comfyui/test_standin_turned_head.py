import pytest
from PIL import Image, ImageDraw

from handlers.comfyui.standin.turned_head import turned_head
from handlers.faces.head import Head, Pose, five_points

SIZE = (300, 360)
FRONT = Head()


def portrait(head: Head = FRONT) -> tuple[Image.Image, list[tuple[float, float]]]:
    """A white dot at each point of a face."""
    points = [*Pose(head, (150, 150), 60).placed(five_points(head))]
    image = Image.new("RGB", SIZE, (60, 60, 60))
    draw = ImageDraw.Draw(image)
    for x, y in points:
        draw.ellipse((x - 6, y - 6, x + 6, y + 6), (255, 255, 255))
    return image, points


@pytest.mark.parametrize("shown", [Head(), Head(-30), Head(35, 10), Head(0, -20), Head(20, 0, 25)])
@pytest.mark.parametrize("taken", [Head(), Head(8, -5)])
def test_the_points_of_a_portrait_come_to_lie_where_the_head_is_turned_to(
    taken: Head, shown: Head
) -> None:
    image, points = portrait(taken)
    pose = Pose(shown, (150, 150), 50)
    turned = turned_head(image, points, pose, (0, 0, *SIZE))
    for x, y in pose.placed(five_points(shown)):
        around = turned.crop((round(x) - 5, round(y) - 5, round(x) + 6, round(y) + 6)).convert("L")
        assert (around.getextrema()[1] or 0) > 150  # type: ignore[operator]


def test_a_portrait_turned_to_the_other_side_is_mirrored() -> None:
    image, points = portrait(Head(-20))
    half = image.copy()
    half.paste((200, 0, 0), (0, 0, 150, 360))  # the side that the portrait hides
    pose = Pose(Head(20), (150, 150), 60)
    turned = turned_head(half, points, pose, (0, 0, *SIZE))
    assert turned.getpixel((200, 170)) == pytest.approx((200, 0, 0), abs=30)


def test_a_box_shows_its_part_of_the_head() -> None:
    image, points = portrait()
    pose = Pose(Head(15), (150, 150), 60)
    whole = turned_head(image, points, pose, (0, 0, *SIZE))
    part = turned_head(image, points, pose, (100, 100, 220, 250))
    assert part.size == (120, 150)
    same = whole.crop((100, 100, 220, 250))
    seen, expected = (crop.resize((6, 6)).convert("L").tobytes() for crop in (part, same))
    assert [*seen] == pytest.approx([*expected], abs=12)
