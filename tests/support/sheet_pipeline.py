"""A pipeline whose worker makes character sheets."""

from typing import Any

from pipeline.store.base import IfAbsent
from tests.support.instant_comfyui import InstantEngine, worker_context
from tests.support.pipeline_fixture import PipelineFixture
from tests.support.sheets import Outcome, SheetServer, flat_picture


class Sheets:
    """A pipeline whose worker makes sheets of flat pictures."""

    def __init__(
        self, pipeline: PipelineFixture, outcome: Outcome = lambda name: None, step_s: float = 1.0
    ) -> None:
        self.pipeline = pipeline
        self.server = SheetServer(outcome, step_s)
        pipeline.store.raw.put("inputs/ann.png", flat_picture("ann"), IfAbsent())
        self.context = worker_context(
            pipeline.store,
            pipeline.delivery,
            pipeline.runtime,
            self.server,
            gpu="L40S",
            faces=self.server.faces(pipeline.settings),
            monotonic=self.server.now,
        )
        self.engine = InstantEngine(self.context)
        self.dispatcher = pipeline.another("dispatcher", self.engine)

    def submit(self, manifest: bytes, id: str = "sheet") -> None:
        self.pipeline.submit(id, manifest)

    def tick(self) -> None:
        self.pipeline.tick(self.dispatcher)

    def finish(self, manifest: bytes, id: str = "sheet") -> Any:
        self.submit(manifest, id)
        self.tick()
        return self.pipeline.result(id)

    @property
    def cells(self) -> list[str]:
        return self.cells_of("sheet")

    def cells_of(self, id: str) -> list[str]:
        folder = f"jobs/{id}/cells/"
        return [
            key.removeprefix(folder).removesuffix(".json") for key in self.pipeline.keys(folder)
        ]
