"""A face pack of a few kilobytes, shaped like the real ones and run by the real insightface.

The detector has SCRFD's outputs (scores, boxes and landmarks at three strides, two anchors a cell)
and finds the frames of tests/support/portraits.py wherever they are: one for each marker colour,
which the cell's two anchors stand for. The embedder has ArcFace's and projects the average colours
of the aligned crop, so that equal faces come out alike and others do not.
"""

from importlib import import_module
from pathlib import Path
from random import Random
from typing import Any

STRIDES = (8, 16, 32)
WIDTHS = {"score": 1, "box": 4, "landmarks": 10}
MARKED = ((1, 0, 1), (-1, 1, 1))
"""Red, green and blue of each of portraits.MARKERS, from -1 to 1."""
NEAR = 0.4
"""How far each of them may be off."""
LANDMARKS = ((0.4, 0.42), (0.6, 0.42), (0.5, 0.53), (0.42, 0.62), (0.58, 0.62))
"""Eyes, nose, corners of the mouth, as shares of the box: close enough together to keep the frame
out of the aligned crop."""
FAR = 1e6


class Net:
    """An ONNX graph being written."""

    def __init__(self) -> None:
        self.onnx = import_module("onnx")
        self.numpy = import_module("numpy")
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def add(self, op: str, *inputs: str, out: str | None = None, **attributes: Any) -> str:
        name = out or f"{op.lower()}_{len(self.nodes)}"
        self.nodes.append(self.onnx.helper.make_node(op, list(inputs), [name], **attributes))
        return name

    def constant(self, value: Any, kind: str = "float32") -> str:
        name = f"constant_{len(self.constants)}"
        array = self.numpy.array(value, kind)
        self.constants.append(self.onnx.numpy_helper.from_array(array, name))
        return name

    def save(self, path: Path, shape: list[Any], outputs: dict[str, list[Any]]) -> None:
        """With one input, `input`."""
        value, real = self.onnx.helper.make_tensor_value_info, self.onnx.TensorProto.FLOAT
        graph = self.onnx.helper.make_graph(
            self.nodes,
            path.stem,
            [value("input", real, shape)],
            [value(name, real, dims) for name, dims in outputs.items()],
            self.constants,
        )
        opset = [self.onnx.helper.make_opsetid("", 13)]
        model = self.onnx.helper.make_model(graph, opset_imports=opset, ir_version=8)
        self.onnx.checker.check_model(model)
        self.onnx.save(model, str(path))


def make_pack(folder: Path) -> Path:
    """Write detector and embedder into the folder."""
    folder.mkdir(parents=True)
    make_detector(folder / "micro_scrfd.onnx")
    make_embedder(folder / "micro_arcface.onnx")
    return folder


def make_detector(path: Path) -> None:
    net = Net()
    frames = [_frame(net, colour) for colour in MARKED]
    outputs = {f"{part}_{s}": [None, width] for part, width in WIDTHS.items() for s in STRIDES}
    for stride in STRIDES:
        for part, width in WIDTHS.items():
            anchors = [_prediction(net, frame, stride, part) for frame in frames]
            apart = [net.add("Unsqueeze", one, net.constant([1], "int64")) for one in anchors]
            together = net.add("Concat", *apart, axis=1)
            shape = net.constant([-1, width], "int64")
            net.add("Reshape", together, shape, out=f"{part}_{stride}")
    net.save(path, [1, 3, "height", "width"], outputs)


def make_embedder(path: Path) -> None:
    net = Net()
    random = Random(0)
    weights = [[random.gauss(0, 1) for _ in range(512)] for _ in range(8 * 8 * 3)]
    cells = net.add("AveragePool", "input", kernel_shape=[14, 14], strides=[14, 14])
    net.add("MatMul", net.add("Flatten", cells), net.constant(weights), out="embedding")
    net.save(path, [None, 3, 112, 112], {"embedding": [None, 512]})


def _frame(net: Net, colour: tuple[int, int, int]) -> dict[str, str]:
    """Edges in pixels and presence (0 or 1) of what has this marker's colour."""
    off = net.add("Sub", "input", net.constant([[[[part]] for part in colour]]))
    most = net.add("ReduceMax", net.add("Abs", off), axes=[0, 1], keepdims=0)
    marked = net.add("Cast", net.add("Less", most, net.constant(NEAR)), to=1)
    edges = {}
    for near, far, axis in (("left", "right", 0), ("top", "bottom", 1)):
        line = net.add("ReduceMax", marked, axes=[axis], keepdims=0)
        on_it = net.add("Greater", line, net.constant(0.5))
        slots = _count(net, net.add("Shape", line))
        here = net.add("Where", on_it, slots, net.constant(FAR))
        edges[near] = net.add("ReduceMin", here, keepdims=0)
        here = net.add("Where", on_it, slots, net.constant(-FAR))
        last = net.add("ReduceMax", here, keepdims=0)
        edges[far] = net.add("Add", last, net.constant(1.0))
    edges["present"] = net.add("ReduceMax", marked, keepdims=0)
    return edges


def _count(net: Net, length: str) -> str:
    """0, 1, 2, … as many as the vector of one element says."""
    end = net.add("Squeeze", length)
    start, step = net.constant(0, "int64"), net.constant(1, "int64")
    return net.add("Cast", net.add("Range", start, end, step), to=1)


def _prediction(net: Net, frame: dict[str, str], stride: int, part: str) -> str:
    """One of the detector's outputs for one anchor: a row for each cell, row by row."""
    x, y = _cells(net, stride)
    if part == "score":
        inside = net.add(
            "Mul",
            _holds(net, x, _between(net, frame["left"], frame["right"], 0.5), stride),
            _holds(net, y, _between(net, frame["top"], frame["bottom"], 0.5), stride),
        )
        return net.add("Mul", inside, _certainty(net, frame))
    if part == "box":
        distances = [
            net.add("Sub", x, frame["left"]),
            net.add("Sub", y, frame["top"]),
            net.add("Sub", frame["right"], x),
            net.add("Sub", frame["bottom"], y),
        ]
    else:
        distances = [
            net.add("Sub", _between(net, frame[near], frame[far], share), cell)
            for point in LANDMARKS
            for (near, far), share, cell in zip(
                (("left", "right"), ("top", "bottom")), point, (x, y), strict=True
            )
        ]
    return net.add("Div", net.add("Concat", *distances, axis=1), net.constant(float(stride)))


def _certainty(net: Net, frame: dict[str, str]) -> str:
    """Nearly 0.95 for a large face, less for a small one, 0 for none."""
    width = net.add("Sub", frame["right"], frame["left"])
    doubt = net.add("Div", net.constant(2.0), net.add("Abs", width))
    return net.add("Mul", frame["present"], net.add("Sub", net.constant(0.95), doubt))


def _cells(net: Net, stride: int) -> tuple[str, str]:
    """Columns with x and y of each cell's corner, in pixels."""
    shape = net.add("Shape", "input")
    counts = []
    for axis in (3, 2):
        pixels = net.add("Gather", shape, net.constant([axis], "int64"))
        cells = _count(net, net.add("Div", pixels, net.constant([stride], "int64")))
        counts.append(net.add("Mul", cells, net.constant(float(stride))))
    row = net.add("Unsqueeze", counts[0], net.constant([0], "int64"))
    column = net.add("Unsqueeze", counts[1], net.constant([1], "int64"))
    nothing = net.constant(0.0)
    xs = net.add("Add", row, net.add("Mul", column, nothing))
    ys = net.add("Add", column, net.add("Mul", row, nothing))
    upright = net.constant([-1, 1], "int64")
    return net.add("Reshape", xs, upright), net.add("Reshape", ys, upright)


def _between(net: Net, near: str, far: str, share: float) -> str:
    length = net.add("Sub", far, near)
    return net.add("Add", near, net.add("Mul", length, net.constant(share)))


def _holds(net: Net, corner: str, point: str, stride: int) -> str:
    """1 where the cell that begins at the corner contains the point."""
    past = net.add("Sub", point, corner)
    after = net.add("GreaterOrEqual", past, net.constant(0.0))
    before = net.add("Less", past, net.constant(float(stride)))
    return net.add("Cast", net.add("And", after, before), to=1)
