"""The person in the stand-in's pictures, as graph and notes ask for it.

A reference in which no face is found is pasted in as it is. Else:
without InstantID a composition shows a stranger, turned as the note beside it says. With it the
person comes near the reference: the nearer, the greater its strength, and for one seed more than
for another. A drawn picture of landmarks says how the head is turned.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from handlers.comfyui.standin import figure
from handlers.comfyui.standin.control_points import (
    Points,
    drawn_points,
    found_points,
    guessed_points,
)
from handlers.comfyui.standin.execution_order import Graph
from handlers.comfyui.standin.people import Person, drawn_person, stranger
from handlers.comfyui.standin.reference_face import (
    HEIGHT,
    TOP,
    WIDTH,
    control_image,
    likeness,
    made_anew,
    opened,
    reference_face,
    seated,
)
from handlers.comfyui.standin.render import Recipe
from handlers.faces.head import Head, five_points, measured_pose
from handlers.faces.landmark_image import landmarks, placed_pose
from handlers.faces.view import AskedView, Framing
from handlers.faces.view_note import VIEW_NOTE, noted_view

WRONG_YAW = 40.0
"""Of a frontal head that is turned wrong on purpose."""


@dataclass(frozen=True)
class Sitting:
    whom: Person
    other: Person | None
    """Whom the person is mixed with."""
    likeness: float
    """0 is the other one, 1 who is meant."""
    view: AskedView | None = None
    control: Image.Image | None = None
    """What InstantID is given for the places of eyes, nose and mouth."""
    turned_wrong: bool = False

    def composed(self, scene: Image.Image) -> Image.Image:
        """The scene with the person in it."""
        if self.view is not None and self.view.head is None and self.control is None:
            framing = self.view.framing or Framing.CLOSE_UP
            return figure.shown_from_behind(
                scene, self.whom, placed_pose(Head(), framing, scene.size)
            )
        points = self._places(scene.size)
        if self.turned_wrong:
            points = _turned_wrong(points)
        return figure.shown(scene, self.whom, self.other, self.likeness, points)

    def made_anew(self, picture: Image.Image) -> Image.Image:
        """The picture with its face made the person's; drawn landmarks say where it is."""
        points = self._drawn(picture.size) or found_points(picture) or guessed_points(picture.size)
        return figure.made_anew(picture, self.whom, self.likeness, points)

    def _places(self, size: tuple[int, int]) -> Points:
        """Drawn ones, those of the asked view, or as in the reference."""
        drawn = self._drawn(size)
        if drawn is not None:
            return drawn
        if self.view is not None and self.view.head is not None:
            return landmarks(self.view.head, self.view.framing or Framing.CLOSE_UP, size)
        width, height = self.whom.picture.size
        scale = min(WIDTH * size[0] / width, HEIGHT * size[1] / height)
        left = (size[0] - scale * width) / 2
        return [(left + scale * x, TOP * size[1] + scale * y) for x, y in self.whom.points]

    def _drawn(self, size: tuple[int, int]) -> Points | None:
        points = None if self.control is None else drawn_points(self.control)
        if self.control is None or points is None:
            return None
        across, down = (to / of for to, of in zip(size, self.control.size, strict=True))
        return [(x * across, y * down) for x, y in points]


@dataclass(frozen=True)
class Pasted:
    """A reference without a face, in the picture."""

    graph: Graph
    node_id: str
    inputs: Path
    reference: Image.Image
    likeness: float

    def composed(self, scene: Image.Image) -> Image.Image:
        return seated(scene, self.reference, self.likeness)

    def made_anew(self, picture: Image.Image) -> Image.Image:
        """A cut-out shows its part of the whole."""
        (made,) = made_anew(
            self.graph, self.node_id, self.inputs, [picture], self.reference, self.likeness
        )
        return made


def sitting(
    graph: Graph,
    node_id: str,
    extra_data: Mapping[str, Any],
    inputs: Path,
    made: Recipe,
    *,
    turned_wrong: bool = False,
) -> Sitting | Pasted | None:
    """Who sits for what this node decodes; None where nobody is asked for."""
    name, view = reference_face(graph, node_id, extra_data), noted_view(extra_data.get(VIEW_NOTE))
    if name is None:
        whom = drawn_person(" ".join(made.loras))
        return None if view is None else Sitting(whom, None, 1.0, view, turned_wrong=turned_wrong)
    reference, like = opened(inputs, name), likeness(graph, node_id, made.seed)
    points = found_points(reference)
    if points is None:
        return Pasted(graph, node_id, inputs, reference, like)
    control, whom = control_image(graph, node_id), Person(reference, points)
    return Sitting(
        whom,
        stranger(whom),
        like,
        view,
        None if control is None else opened(inputs, control),
        turned_wrong,
    )


def _turned_wrong(points: Points) -> Points:
    """To the other side, or to a side at all."""
    pose = measured_pose(points)
    yaw = -pose.head.yaw if abs(pose.head.yaw) >= WRONG_YAW / 3 else WRONG_YAW
    return pose.placed(five_points(Head(yaw, pose.head.pitch, pose.head.roll)))
