"""A person put into a picture: a body, and a head whose face is turned as its five points say.

A face is another picture's, bent until its points lie there: enough for a detector to find it, for
its angles to be measured and for an embedder to tell who it is. A full profile and a head from
behind are drawn shapes, in which a detector finds no face.
"""

import math
from collections.abc import Callable, Sequence

from PIL import Image, ImageDraw, ImageFilter

from handlers.comfyui.standin.people import Colour, Person
from handlers.comfyui.standin.turned_head import AXES, MIDDLE, turned_head
from handlers.faces.boxes import Point
from handlers.faces.head import Place, Pose, measured_pose, projected, seen_box

PROFILE_FROM = 60.0
"""Degrees of yaw to either side from which no face can be bent any more."""
SOFT = 0.12
"""Over how much an edge fades, in distances between the eyes."""
NECK: Place = (0.0, 2.0, -0.8)
HEAD = (MIDDLE, AXES)
FACE: tuple[Place, Place] = ((0.0, 0.5, -0.4), (1.2, 1.45, 0.6))
"""Middles and half axes of what is made, in the same terms."""
BACKDROP = (84, 116, 138)
Edges = tuple[int, int, int, int]


def shown(
    picture: Image.Image,
    whom: Person,
    other: Person | None,
    likeness: float,
    points: Sequence[Point],
) -> Image.Image:
    """The picture with somebody in it whose face is at these points, between two people: 0 is the
    other one, 1 is who is meant."""
    pose = measured_pose(points)
    clothed = _out_of_focus(picture)
    _draw_body(clothed, pose)
    if abs(pose.head.yaw) >= PROFILE_FROM:
        _draw_profile(clothed, pose, whom)
        return clothed
    _paste_head(clothed, pose, HEAD, lambda box: _between(whom, other, likeness, pose, box))
    return clothed


def shown_from_behind(picture: Image.Image, whom: Person, pose: Pose) -> Image.Image:
    clothed = _out_of_focus(picture)
    _draw_body(clothed, pose)
    ImageDraw.Draw(clothed).ellipse(pose.outline(), whom.hair)
    return clothed


def made_anew(
    picture: Image.Image, whom: Person, likeness: float, points: Sequence[Point]
) -> Image.Image:
    """The picture with the face that is at these points turned into somebody else's."""
    pose = measured_pose(points)
    changed = picture.copy()
    if abs(pose.head.yaw) >= PROFILE_FROM:
        return changed
    _paste_head(
        changed,
        pose,
        FACE,
        lambda box: Image.blend(
            picture.crop(box), turned_head(whom.picture, whom.points, pose, box), likeness
        ),
    )
    return changed


def _out_of_focus(scene: Image.Image) -> Image.Image:
    """Behind somebody: a face before a colour like its own loses its contour to a detector."""
    soft = scene.filter(ImageFilter.GaussianBlur(min(scene.size) / 60))
    return Image.blend(soft, Image.new("RGB", scene.size, BACKDROP), 0.6)


def _between(
    whom: Person, other: Person | None, likeness: float, pose: Pose, box: Edges
) -> Image.Image:
    meant = turned_head(whom.picture, whom.points, pose, box)
    if other is None or likeness >= 1:
        return meant
    return Image.blend(turned_head(other.picture, other.points, pose, box), meant, likeness)


def _paste_head(
    picture: Image.Image,
    pose: Pose,
    part: tuple[Place, Place],
    made: Callable[[Edges], Image.Image],
) -> None:
    """What is made of an ellipsoid's box, under a soft mask."""
    (left, top), (right, bottom) = pose.placed(seen_box(part, pose.head))
    box = (math.floor(left), math.floor(top), math.ceil(right), math.ceil(bottom))
    soft = SOFT * pose.eye_distance
    mask = Image.new("L", (box[2] - box[0], box[3] - box[1]))
    edges = (soft, soft, max(soft, mask.width - soft), max(soft, mask.height - soft))
    ImageDraw.Draw(mask).ellipse(edges, 255)
    picture.paste(made(box), box[:2], mask.filter(ImageFilter.GaussianBlur(soft / 2)))


def _draw_body(picture: Image.Image, pose: Pose) -> None:
    """Neck, trunk, arms and legs below the head, upright, as far as the picture reaches."""
    (x, y), unit = pose.middle, pose.eye_distance
    x += unit * projected(NECK, pose.head)[0]
    draw = ImageDraw.Draw(picture)

    def part(from_x: float, from_y: float, to_x: float, to_y: float, colour: Colour) -> None:
        edges = (x + unit * from_x, y + unit * from_y, x + unit * to_x, y + unit * to_y)
        draw.rounded_rectangle(edges, 0.7 * unit, colour)

    for side in (-1, 1):
        part(min(0.1 * side, 1.6 * side), 8, max(0.1 * side, 1.6 * side), 24.5, (52, 56, 72))
        part(min(1.7 * side, 2.9 * side), 2.6, max(1.7 * side, 2.9 * side), 12, (86, 96, 120))
    part(-0.8, 1, 0.8, 3.4, (150, 118, 100))
    part(-2.1, 2.5, 2.1, 9.5, (98, 110, 136))


def _draw_profile(picture: Image.Image, pose: Pose, whom: Person) -> None:
    """Hair, the front of the face, and a nose to the side that the head is turned to."""
    left, top, right, bottom = pose.outline()
    side = 1 if pose.head.yaw > 0 else -1
    unit, (x, y) = pose.eye_distance, pose.middle
    draw = ImageDraw.Draw(picture)
    draw.ellipse((left, top, right - 0.2 * unit, bottom - 0.4 * unit), whom.hair)
    jaw = sorted((x - side * 1.5 * unit, x + side * 0.3 * unit))
    draw.ellipse((jaw[0], y - 1.2 * unit, jaw[1], bottom), whom.skin)
    tip = (x + side * 0.55 * unit, y + 0.6 * unit)
    draw.polygon(
        [(x + side * 0.15 * unit, y), tip, (x + side * 0.15 * unit, y + 0.8 * unit)], whom.skin
    )
