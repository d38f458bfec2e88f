"""A portrait wrapped around a head, and the head turned: Pillow bends the picture square by square.

The head is an ellipsoid with a nose. Of a portrait from the front this makes faces that a detector
finds, and of which the angles can be measured, to about 45 degrees of yaw.
"""

import math
from collections.abc import Callable, Iterator, Sequence

from PIL import Image

from handlers.comfyui.standin.bend import Bend
from handlers.faces.boxes import Point
from handlers.faces.head import Head, Place, Pose, five_points, measured_pose, projected

MIDDLE: Place = (0.0, 0.1, -1.33)
AXES: Place = (1.3, 1.9, 1.46)
"""Of the ellipsoid, in distances between the eyes from the middle between them: it passes through
the eyes and near the corners of the mouth."""
NOSE, NOSE_WIDTH, NOSE_HEIGHT, NOSE_LENGTH = (0.0, 0.58), 0.22, 0.36, 0.41
"""Where its tip is, how far it spreads, and how far it stands out."""
EVEN = 6.0
"""Degrees of yaw up to which a portrait shows both sides alike."""
CELLS = 36
"""Squares across the longer side, inside which the picture is bent evenly."""


def turned_head(
    portrait: Image.Image, points: Sequence[Point], pose: Pose, box: tuple[int, int, int, int]
) -> Image.Image:
    """What is seen in a box (left, top, right, bottom) of the head that the portrait shows with its
    face at `points`, once it is posed so. Beyond the head's edge its edge goes on."""
    source = _from_head(points, pose.head)
    left, top, right, bottom = box
    size = (right - left, bottom - top)

    def look(x: int, y: int) -> Point:
        (across, down), unit = pose.middle, pose.eye_distance
        return source(_place(((left + x - across) / unit, (top + y - down) / unit), pose.head))

    seen = {corner: look(*corner) for cell in _cells(size) for corner in _corners(cell)}
    mesh = [
        (cell, tuple(part for corner in _corners(cell) for part in seen[corner]))
        for cell in _cells(size)
    ]
    return portrait.transform(size, Image.Transform.MESH, mesh, Image.Resampling.BICUBIC)


def _from_head(points: Sequence[Point], wanted: Head) -> Callable[[Place], Point]:
    """Where a place of the head is in the portrait: as its own turn says, and exact at the five
    points of a head that smiles as much.

    A portrait turned to the other side than wanted lacks what is to be seen: it is mirrored.
    """
    pose = measured_pose(points)
    bend = Bend(pose.placed(five_points(pose.head, pose.smile)), points)
    mirrored = pose.head.yaw * wanted.yaw < 0 and abs(pose.head.yaw) > EVEN

    def source(place: Place) -> Point:
        x, y, z = place
        (seen,) = pose.placed([projected((-x if mirrored else x, y, z), pose.head)])
        return bend.at(seen)

    return source


def _place(seen: Point, head: Head) -> Place:
    """The place of the head's surface that is seen there, or of its edge nearest to it."""
    yaw, pitch, roll = (math.radians(angle) for angle in (head.yaw, head.pitch, head.roll))
    x = seen[0] * math.cos(roll) + seen[1] * math.sin(roll)
    y = -seen[0] * math.sin(roll) + seen[1] * math.cos(roll)
    flat, towards = _unturned((x, y, 0.0), yaw, pitch), _unturned((0.0, 0.0, 1.0), yaw, pitch)
    start = [(at - mid) / axis for at, mid, axis in zip(flat, MIDDLE, AXES, strict=True)]
    ray = [part / axis for part, axis in zip(towards, AXES, strict=True)]
    a, b = sum(r * r for r in ray), sum(s * r for s, r in zip(start, ray, strict=True))
    inside = b * b - a * (sum(s * s for s in start) - 1)
    if inside <= 0:  # beyond the edge: the nearest place of it
        near = [s - b / a * r for s, r in zip(start, ray, strict=True)]
        length = math.hypot(*near)
        px, py, pz = (m + axis * n / length for m, axis, n in zip(MIDDLE, AXES, near, strict=True))
        return px, py, pz
    depth = (math.sqrt(inside) - b) / a
    for _ in range(4):  # out of the ellipsoid to the nose, along the line of sight
        px, py, pz = (at + depth * part for at, part in zip(flat, towards, strict=True))
        depth += 0.8 * (surface(px, py) - pz) * max(0.0, towards[2])
    px, py, pz = (at + depth * part for at, part in zip(flat, towards, strict=True))
    return px, py, pz


def surface(x: float, y: float) -> float:
    """How far the head stands out there."""
    across, down = (x - MIDDLE[0]) / AXES[0], (y - MIDDLE[1]) / AXES[1]
    nose = ((x - NOSE[0]) / NOSE_WIDTH) ** 2 + ((y - NOSE[1]) / NOSE_HEIGHT) ** 2
    dome = math.sqrt(max(0.0, 1 - across * across - down * down))
    return MIDDLE[2] + AXES[2] * dome + NOSE_LENGTH * math.exp(-nose)


def _unturned(place: Place, yaw: float, pitch: float) -> Place:
    """Back from the viewer's axes to the head's own."""
    x, y, z = place
    x, z = x * math.cos(yaw) - z * math.sin(yaw), x * math.sin(yaw) + z * math.cos(yaw)
    return (
        x,
        y * math.cos(pitch) + z * math.sin(pitch),
        -y * math.sin(pitch) + z * math.cos(pitch),
    )


def _cells(size: tuple[int, int]) -> Iterator[tuple[int, int, int, int]]:
    width, height = size
    step = max(4, math.ceil(max(size) / CELLS))
    for y in range(0, height, step):
        for x in range(0, width, step):
            yield x, y, min(x + step, width), min(y + step, height)


def _corners(cell: tuple[int, int, int, int]) -> tuple[tuple[int, int], ...]:
    """As Pillow goes around a cell: down first."""
    left, top, right, bottom = cell
    return (left, top), (left, bottom), (right, bottom), (right, top)
