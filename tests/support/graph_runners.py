"""The handlers' ports over a server that runs: ComfyUI or the stand-in."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field

from config.errors import FaceModelsMissing
from handlers.comfyui.client import ComfyClient
from handlers.faces.boxes import FaceFinder
from handlers.faces.match import Calibration
from handlers.faces.measurement import FaceUse
from handlers.kinds.base import PromptRun
from workflows.graph import Graph
from workflows.interfaces import committed
from workflows.validation import require_valid


class GraphStudio:
    """For kinds that only have graphs run."""

    def upload(self, body: bytes, name: str) -> str:
        raise AssertionError("nothing is to be uploaded")

    def faces(self, use: FaceUse) -> FaceFinder:
        raise AssertionError("nobody looks for faces")

    def calibration(self) -> Calibration | None:
        raise AssertionError("nobody scores faces")

    def has_time_for(self, seconds: float) -> bool:
        raise AssertionError("nothing is tried again")


@dataclass
class WireStudio:
    client: ComfyClient
    finders: Mapping[FaceUse, FaceFinder] = field(default_factory=dict)
    calibrated: Calibration | None = None
    further_seconds: float = float("inf")
    """What is left of time and budget."""
    parts: list[tuple[int, int]] = field(default_factory=list)
    graphs: list[Graph] = field(default_factory=list)

    def render(
        self, graph: Graph, *, part: int, parts: int, then: Graph | None = None
    ) -> PromptRun:
        require_valid(graph, committed())
        self.parts.append((part, parts))
        self.graphs.append(graph)
        return self.client.run(
            graph.api(),
            prompt_id=str(uuid.uuid4()),
            deadline_s=120.0,
            extra_data=graph.extra_data,
        )

    def upload(self, body: bytes, name: str) -> str:
        return self.client.upload_image(body, name)

    def faces(self, use: FaceUse) -> FaceFinder:
        if use not in self.finders:
            raise FaceModelsMissing(f"no face pack for {use}")
        return self.finders[use]

    def calibration(self) -> Calibration | None:
        return self.calibrated

    def has_time_for(self, seconds: float) -> bool:
        return seconds <= self.further_seconds
