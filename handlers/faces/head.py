"""How a head is turned: as five points in a picture, and read back from five points. Pure.

The points are a face detector's: eyes, tip of the nose, corners of the mouth, those at the
picture's left first. The projection is without perspective, as of a head some distance away.
"""

import cmath
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

from handlers.faces.boxes import Point

Place = tuple[float, float, float]
Guess = tuple[float, float, float]
"""Yaw and pitch in degrees, and how broad a smile, 0 to 1."""

POINTS: tuple[Place, ...] = (
    (-0.5, 0.0, 0.0),
    (0.5, 0.0, 0.0),
    (0.0, 0.58, 0.53),
    (-0.41, 1.13, 0.03),
    (0.41, 1.13, 0.03),
)
"""A head of average measures that looks at the viewer: right, down and towards the viewer from the
middle between the eyes, in distances between the eyes (63 mm).

Right and down are rounded between the template that faces are aligned to for an embedder (nose 0.57
down, mouth 1.16 down and 0.83 wide) and MediaPipe's canonical face (0.60; 1.11 and 0.78). The nose
stands out as far as it does there (0.64 before the corners of the eyes) less what the eye itself
stands out before its corners, about 7 mm.
"""
SMILE = (0.13, -0.17)
"""How far a broad smile draws each corner of the mouth outwards and down, in the same terms: by
MTCNN's points of two official portraits. Unaccounted for, it looks like a head turned 30 degrees
down."""
OUTLINE: tuple[Place, Place] = ((0.0, -0.1, -1.3), (1.3, 1.95, 1.6))
"""Middle and half axes of the ellipsoid that holds head and hair, in the same terms. From Farkas'
and the US Army's means of adults (ANSUR: breadth 154, length 197, chin to crown 225 mm) and a
centimetre of hair."""


@dataclass(frozen=True)
class Head:
    """Degrees, as the viewer sees it. Raises ValueError for an angle outside its range."""

    yaw: float = 0.0
    """-90 to 90; positive turns the face to the picture's right."""
    pitch: float = 0.0
    """-45 to 45; positive turns the face up."""
    roll: float = 0.0
    """-45 to 45; positive leans the crown to the picture's right, clockwise."""

    def __post_init__(self) -> None:
        for name, most in LIMITS.items():
            angle = getattr(self, name)
            if not -most <= angle <= most:  # also refuses what is no number
                raise ValueError(f"{name} must be from -{most} to {most} degrees, not {angle}")


LEANING = 1e-3
"""Charged for a lean of a radian, as a share of the points' own spread."""
LIMITS = {"yaw": 90, "pitch": 45, "roll": 45}
"""Degrees to either side."""


@dataclass(frozen=True)
class Pose:
    """Where a head is in a picture."""

    head: Head
    """At its limit where the points say more."""
    middle: Point
    """Between the eyes, in pixels."""
    eye_distance: float
    """As of the same head seen from the front, in pixels."""
    smile: float = 0.0
    """0 to 1."""

    def placed(self, points: Sequence[Point]) -> tuple[Point, ...]:
        """Points around the middle between the eyes, in pixels of the picture."""
        (x, y), scale = self.middle, self.eye_distance
        return tuple((x + scale * right, y + scale * down) for right, down in points)

    def outline(self) -> tuple[float, float, float, float]:
        """Left, top, right and bottom of the whole head with its hair; may leave the picture."""
        left, top, right, bottom = outline(self.head)
        (first, last) = self.placed([(left, top), (right, bottom)])
        return *first, *last


def five_points(head: Head, smile: float = 0.0) -> tuple[Point, ...]:
    """Eyes, nose and mouth around the middle between the eyes, in distances between the eyes."""
    return tuple(projected(place, head) for place in _smiling(smile))


def outline(head: Head) -> tuple[float, float, float, float]:
    """Left, top, right and bottom of head, hair and nose, in the same terms."""
    across, down = zip(*five_points(head), *seen_box(OUTLINE, head), strict=True)
    return min(across), min(down), max(across), max(down)


def seen_box(ellipsoid: tuple[Place, Place], head: Head) -> tuple[Point, Point]:
    """Left top and right bottom of what is seen of an ellipsoid with this middle and half axes."""
    middle, axes = ellipsoid
    x, y = projected(middle, head)
    spread = [projected(axis, head) for axis in _along(axes)]
    wide, high = (math.hypot(*(one[at] for one in spread)) for at in (0, 1))
    return (x - wide, y - high), (x + wide, y + high)


def _along(axes: Place) -> Iterator[Place]:
    x, y, z = axes
    yield from ((x, 0.0, 0.0), (0.0, y, 0.0), (0.0, 0.0, z))


def projected(place: Place, head: Head) -> Point:
    """Where a place of the head is seen: nodded first, then turned, then leant."""
    seen = _turned(place, math.radians(head.yaw), math.radians(head.pitch))
    seen *= cmath.exp(1j * math.radians(head.roll))
    return seen.real, seen.imag


def measured_head(landmarks: Sequence[Point]) -> Head:
    """How the head of a found face is turned: `measured_pose` without the place."""
    return measured_pose(landmarks).head


def measured_pose(landmarks: Sequence[Point]) -> Pose:
    """The turn, place and size of our head that come nearest to five points in pixels.

    Of our own head's points it is right to 1.5 degrees up to 75 degrees of yaw, smiling or not.
    Real heads differ from it: a nose that stands out a tenth more turns 30 degrees into 32, and one
    that ends a tenth lower looks 6 degrees down. In a full profile nod and lean are the same turn,
    and both are told as nod. Raises ValueError for what are not five points of a face.
    """
    seen = [complex(x, y) for x, y in landmarks]
    if len(seen) != len(POINTS) or len(set(seen)) < 3:  # in a full profile both eyes are one
        raise ValueError(f"not {len(POINTS)} points of a face: {list(landmarks)}")
    centre = sum(seen) / len(seen)
    around = [point - centre for point in seen]
    best = _nearest(around)
    shape, middle = _shape(best)
    turn = _best_turn(shape, around)
    angles = {"yaw": best[0], "pitch": best[1], "roll": math.degrees(cmath.phase(turn))}
    place = centre - turn * middle
    return Pose(
        Head(**{name: _within(angle, LIMITS[name]) for name, angle in angles.items()}),
        (place.real, place.imag),
        abs(turn),
        best[2],
    )


def _within(angle: float, most: float) -> float:
    return max(-most, min(most, angle))


def _turned(place: Place, yaw: float, pitch: float) -> complex:
    """Right and down of a place after a nod and a turn in radians."""
    x, y, z = place
    down = y * math.cos(pitch) - z * math.sin(pitch)
    towards = y * math.sin(pitch) + z * math.cos(pitch)
    return complex(x * math.cos(yaw) + towards * math.sin(yaw), down)


def _nearest(around: Sequence[complex]) -> Guess:
    """What leaves the least misfit: of a grid of 15 degrees and half smiles first, then finer."""

    def misfit(guess: Guess) -> float:
        return _misfit(guess, around)

    grid = product(range(-90, 91, 15), range(-60, 61, 15), (0.0, 0.5, 1.0))
    best: Guess = min(grid, key=misfit)
    step = 8.0
    while step > 0.04:
        yaw, pitch, smile = best
        moves = product((-step, 0.0, step), repeat=3)
        near = ((yaw + a, pitch + b, max(0.0, min(1.0, smile + c / 20))) for a, b, c in moves)
        found = min(near, key=misfit)
        if misfit(found) >= misfit(best):
            step /= 2
        else:
            best = found
    return best


def _misfit(guess: Guess, around: Sequence[complex]) -> float:
    """Squared pixels left over when our head, so turned, is leant, sized and placed at best.

    In a full profile a nod and a lean are the same turn of the picture: the small charge for
    leaning makes it a nod.
    """
    shape, _ = _shape(guess)
    turn = _best_turn(shape, around)
    left = sum(abs(point - turn * own) ** 2 for own, point in zip(shape, around, strict=True))
    return left + LEANING * cmath.phase(turn) ** 2 * sum(abs(point) ** 2 for point in around)


def _shape(guess: Guess) -> tuple[Sequence[complex], complex]:
    """Our head's points around their middle, and that middle."""
    yaw, pitch, smile = guess
    points = [_turned(place, math.radians(yaw), math.radians(pitch)) for place in _smiling(smile)]
    middle = sum(points) / len(points)
    return [point - middle for point in points], middle


def _smiling(smile: float) -> Iterator[Place]:
    out, down = (smile * part for part in SMILE)
    for x, y, z in POINTS:
        mouth = y > 1
        yield (x + math.copysign(out, x), y + down, z) if mouth else (x, y, z)


def _best_turn(shape: Sequence[complex], around: Sequence[complex]) -> complex:
    """Least squares of a similarity: rotation and scale as one complex number."""
    dot = sum(own.conjugate() * point for own, point in zip(shape, around, strict=True))
    return dot / sum(abs(own) ** 2 for own in shape)
