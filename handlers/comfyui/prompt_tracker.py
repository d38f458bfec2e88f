"""What a prompt's frames add up to. Pure: the clock's readings come in with the frames."""

from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from statistics import median
from typing import Any, Final

from handlers.comfyui import frames, timings
from handlers.comfyui.timings import Part
from handlers.kinds.base import OutputFile, Timings

WEBSOCKET_SAVER: Final = "SaveImageWebsocket"

_WEIGHT: Final = {Part.LOAD: 4, Part.ENCODE: 2, Part.SAMPLING: 30, Part.DECODE: 4, Part.OTHER: 1}
"""About how long a node of each part takes beside the others, for the progress fraction."""


class PromptTracker:
    """Folds the frames of one prompt; frames of other prompts are not for it.

    `fraction` is from 0 to 1 and never falls: nodes that are done, by how long a node of their part
    usually takes. `classes` is node id → class; `images` are what SaveImageWebsocket sent.
    """

    def __init__(self, graph: Mapping[str, Any], prompt_id: str) -> None:
        self.classes = node_classes(graph)
        self.started = False
        self.ended = False
        self.failure: frames.ExecutionError | frames.ExecutionInterrupted | None = None
        self.images: list[OutputFile] = []
        self.fraction = 0.0
        self.succeeded = False
        """Whether ComfyUI said so; the end of the prompt comes after it."""
        self.shown: dict[str, Mapping[str, Any]] = {}
        """What each output node showed, as /history has it."""
        self._prompt_id = prompt_id
        self._marks: list[tuple[float, str | None]] = []
        self._node: str | None = None
        self._steps: list[list[float]] = []
        """Of each sampler that ran: its start, and the end of each step."""
        self._step = 0.0
        self._steps_left = False
        self._weights = {node: _WEIGHT[timings.part_of(c)] for node, c in self.classes.items()}
        self._done: set[str] = set()

    @property
    def node_class(self) -> str | None:
        """Of the node that runs; None when none does."""
        return self.classes.get(self._node) if self._node is not None else None

    def take(self, frame: frames.Frame, at: float) -> bool:
        """Whether the frame was about this prompt. `at` is in seconds, on any clock."""
        match frame:
            case frames.Status() | frames.Unknown():
                return False
            case frames.Binary():
                self._take_image(frame)
                return self._node is not None
            case _ if frame.prompt_id not in (self._prompt_id, None):
                return False
            case frames.ExecutionStart():
                self.started = True
                self._marks.append((at, None))
            case frames.ExecutionCached():
                for node in frame.nodes:
                    self._weights.pop(node, None)
            case frames.Executing():
                self._take_executing(frame, at)
            case frames.Progress():
                if frame.node in (self._node, None) and frame.maximum > 0:
                    self._take_step(frame.value, at)
                    self._steps_left = frame.value < frame.maximum
                    self._advance(frame.value / frame.maximum)
            case frames.Executed():
                self.shown[frame.node] = frame.outputs
            case frames.ExecutionSuccess():
                self.succeeded = True
            case frames.ExecutionError() | frames.ExecutionInterrupted():
                self.failure = frame
        return True

    def timings(self, until: float) -> Timings:
        """Seconds by part up to `until`, of the same clock as `take`; of a prompt that has ended,
        up to its end."""
        end = [] if self.ended else [(until, None)]
        parts = timings.fold([*self._marks, *end], self.classes)
        return replace(parts, first_step=sum(map(timings.first_step_excess, self._steps)))

    def stalled_s(self, now: float) -> tuple[float, float] | None:
        """Seconds since the running sampler's last step, and the median of its steps.

        None before its pace is known, and where no further step is to come.
        """
        if not self._steps_left or not self._steps:
            return None
        steps = [after - before for before, after in pairwise(self._steps[-1])][1:]
        if len(steps) < timings.FEWEST_STEPS:
            return None
        return now - self._steps[-1][-1], median(steps)

    def _take_step(self, value: float, at: float) -> None:
        samples = timings.part_of(self.node_class or "") is Part.SAMPLING
        if samples and self._steps and value > self._step:
            self._steps[-1].append(at)
            self._step = value

    def _take_executing(self, frame: frames.Executing, at: float) -> None:
        if frame.node is None and frame.prompt_id is None:
            return  # says that the server idles, not that this prompt ended
        self.started = True
        if self._node is not None and self._node != frame.node:
            self._done.add(self._node)
        self._node = frame.node
        self._steps_left = False
        self._marks.append((at, frame.node))
        if timings.part_of(self.node_class or "") is Part.SAMPLING:
            self._steps.append([at])
            self._step = 0.0
        self.ended = frame.node is None
        if not self.ended:
            self._advance(0.0)

    def _take_image(self, frame: frames.Binary) -> None:
        if self._node is None or self.node_class != WEBSOCKET_SAVER:
            return  # a live preview
        name = f"{self._node}_{len(self.images) + 1:05}_.{'png' if frame.is_png else 'jpg'}"
        self.images.append(OutputFile(self._node, name, frame.image))

    def _advance(self, part_of_node: float) -> None:
        total = sum(self._weights.values())
        done = sum(self._weights.get(node, 0) for node in self._done - {self._node})
        if total:
            here = self._weights.get(self._node or "", 0) * min(max(part_of_node, 0.0), 1.0)
            self.fraction = max(self.fraction, min((done + here) / total, 1.0))


def node_classes(graph: Mapping[str, Any]) -> dict[str, str]:
    """Node id to class; nodes that have none are left to ComfyUI's validation."""
    return {
        node: entry["class_type"]
        for node, entry in graph.items()
        if isinstance(entry, Mapping) and isinstance(entry.get("class_type"), str)
    }
