"""Faces and their five points by MTCNN's three small networks, on onnxruntime and Pillow alone.

Zhang et al., "Joint Face Detection and Alignment Using Multitask Cascaded Convolutional Networks"
(2016): P-Net looks at a pyramid of the picture, R-Net and O-Net judge and move what it proposes.
These files were trained on transposed pictures: x is the first axis.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from PIL import Image

from handlers.faces.boxes import Point

NETWORKS = ("pnet", "rnet", "onet")
SMALLEST = 20
"""Pixels of the smallest face that is looked for."""
LONGEST = 1280
"""Pixels of a picture's longer side beyond which it is looked at shrunk: the time is bounded."""
PYRAMID = 0.709
"""From one level to the next, as published: half the area."""
CELL, STRIDE = 12, 2
"""P-Net's, in pixels of a level."""
THRESHOLDS = (0.6, 0.7, 0.7)
"""Scores that a box must exceed at each network, as published."""
NMS_WITHIN, NMS_ACROSS, NMS_LAST = 0.5, 0.7, 0.7
BATCH = 128


@dataclass(frozen=True)
class Detection:
    """In pixels of the picture; a box may reach over its edges."""

    left: float
    top: float
    right: float
    bottom: float
    score: float
    """0 to 1."""
    points: tuple[Point, ...]
    """Eyes, nose and corners of the mouth."""


Network = Callable[[Any], list[Any]]


class Detector:
    """Build it with `load`."""

    def __init__(self, numpy: Any, networks: tuple[Network, Network, Network]) -> None:
        self._numpy = numpy
        self._propose, self._refine, self._output = networks

    def detect(self, image: Image.Image) -> list[Detection]:
        """All faces of an RGB picture, in no order."""
        scale = min(1.0, LONGEST / max(image.size))
        small = image if scale == 1.0 else _shrunk(image, scale)
        boxes = self._proposals(small)
        boxes = self._refined(small, boxes)
        return [_detection(row, scale) for row in self._outputs(small, boxes).tolist()]

    def _proposals(self, image: Image.Image) -> Any:
        """Rows of left, top, right, bottom, score."""
        found = [self._level(image, scale) for scale in _scales(min(image.size))]
        boxes = self._numpy.concatenate([self._numpy.zeros((0, 9)), *found])
        boxes = boxes[self._kept(boxes, NMS_ACROSS)]
        return self._moved(boxes[:, :5], boxes[:, 5:9])

    def _level(self, image: Image.Image, scale: float) -> Any:
        """Rows of a box, its score, and how its edges are to move in shares of its sides."""
        numpy = self._numpy
        size = (math.ceil(image.width * scale), math.ceil(image.height * scale))
        level = numpy.asarray(image.resize(size, Image.Resampling.BILINEAR))
        moves, scores = self._propose(self._normal(level[None]))
        x, y = numpy.where(scores[0, :, :, 1] >= THRESHOLDS[0])
        corner = numpy.stack([x, y], axis=1) * STRIDE
        rows = [
            (corner + 1) / scale,
            (corner + CELL) / scale,
            scores[0, x, y, 1:2],
            moves[0, x, y],
        ]
        boxes = numpy.concatenate(rows, axis=1)
        return boxes[self._kept(boxes, NMS_WITHIN)]

    def _refined(self, image: Image.Image, boxes: Any) -> Any:
        squares = self._squares(boxes)
        moves, scores = self._judged(image, squares, 24, self._refine, 2)
        good = scores[:, 1] > THRESHOLDS[1]
        rows = self._numpy.concatenate([squares[good, :4], scores[good, 1:2]], axis=1)
        kept = self._kept(rows, NMS_LAST)
        return self._moved(rows[kept], moves[good][kept])

    def _outputs(self, image: Image.Image, boxes: Any) -> Any:
        """Rows of left, top, right, bottom, score, five x, five y."""
        numpy, squares = self._numpy, self._squares(boxes)
        moves, points, scores = self._judged(image, squares, 48, self._output, 3)
        good = scores[:, 2 - 1] > THRESHOLDS[2]
        squares, moves, points = squares[good], moves[good], points[good]
        sides = (squares[:, 2:4] - squares[:, :2] + 1).repeat(5, axis=1)
        places = squares[:, :2].repeat(5, axis=1) + points * sides - 1
        rows = numpy.concatenate([squares[:, :4], scores[good, 1:2]], axis=1)
        rows = numpy.concatenate([self._moved(rows, moves), places], axis=1)
        return rows[self._kept(rows, NMS_LAST, of_the_smaller=True)]

    def _judged(
        self, image: Image.Image, squares: Any, side: int, network: Network, outputs: int
    ) -> list[Any]:
        """The network's outputs for each square, cut out of the picture; black is beyond it."""
        numpy = self._numpy
        if not len(squares):
            widths = (4, 2) if outputs == 2 else (4, 10, 2)
            return [numpy.zeros((0, width)) for width in widths]
        crops = [
            numpy.asarray(
                image.crop((left - 1, top - 1, right, bottom)).resize(
                    (side, side), Image.Resampling.BILINEAR
                )
            )
            for left, top, right, bottom in squares[:, :4].astype(int).tolist()
        ]
        parts = [
            network(self._normal(numpy.stack(crops[at : at + BATCH])))
            for at in range(0, len(crops), BATCH)
        ]
        return [numpy.concatenate(each) for each in zip(*parts, strict=True)]

    def _normal(self, pictures: Any) -> Any:
        turned = pictures.transpose(0, 2, 1, 3).astype("float32")
        return (turned - 127.5) / 128

    def _moved(self, boxes: Any, moves: Any) -> Any:
        sides = boxes[:, 2:4] - boxes[:, :2] + 1
        edges = boxes[:, :4] + moves * self._numpy.concatenate([sides, sides], axis=1)
        return self._numpy.concatenate([edges, boxes[:, 4:5]], axis=1)

    def _squares(self, boxes: Any) -> Any:
        """Each box grown to a square about its middle, in whole pixels of one or more."""
        numpy = self._numpy
        sides = boxes[:, 2:4] - boxes[:, :2]
        longest = sides.max(axis=1, keepdims=True) if len(boxes) else sides[:, :1]
        corner = numpy.fix(boxes[:, :2] + sides / 2 - longest / 2)
        far = corner + numpy.maximum(1, numpy.fix(longest))
        return numpy.concatenate([corner, far, boxes[:, 4:5]], axis=1)

    def _kept(self, boxes: Any, most: float, of_the_smaller: bool = False) -> list[int]:
        """Which boxes stay when one that overlaps a better one by more than `most` goes."""
        numpy = self._numpy
        area = (boxes[:, 2] - boxes[:, 0] + 1) * (boxes[:, 3] - boxes[:, 1] + 1)
        order, kept = numpy.argsort(-boxes[:, 4], kind="stable"), []
        while len(order):
            best, rest = int(order[0]), order[1:]
            kept.append(best)
            near = numpy.maximum(boxes[best, :2], boxes[rest, :2])
            far = numpy.minimum(boxes[best, 2:4], boxes[rest, 2:4])
            shared = numpy.maximum(0, far - near + 1).prod(axis=1)
            whole = (
                numpy.minimum(area[best], area[rest])
                if of_the_smaller
                else area[best] + area[rest] - shared
            )
            order = rest[shared / whole <= most]
        return kept


def load(folder: Path) -> Detector:
    """Of the three ONNX files in the folder. Raises what onnxruntime raises, and ImportError."""
    runtime = import_module("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1  # the networks are small: more threads only wait for others

    def network(name: str) -> Network:
        session = runtime.InferenceSession(
            str(folder / f"{name}.onnx"), options, providers=["CPUExecutionProvider"]
        )
        entry = session.get_inputs()[0].name
        return lambda pictures: list(session.run(None, {entry: pictures}))

    propose, refine, output = map(network, NETWORKS)
    return Detector(import_module("numpy"), (propose, refine, output))


def _scales(shorter: int) -> list[float]:
    """From the level at which the smallest face fills a cell, until the picture is one cell."""
    scales, scale = [], CELL / SMALLEST
    while shorter * scale >= CELL:
        scales.append(scale)
        scale *= PYRAMID
    return scales


def _shrunk(image: Image.Image, scale: float) -> Image.Image:
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return image.resize(size, Image.Resampling.BOX, reducing_gap=2.0)


def _detection(row: list[float], scale: float) -> Detection:
    left, top, right, bottom, score, *points = row
    xs, ys = points[:5], points[5:]
    return Detection(
        left / scale,
        top / scale,
        right / scale,
        bottom / scale,
        min(1.0, score),
        tuple((x / scale, y / scale) for x, y in zip(xs, ys, strict=True)),
    )
