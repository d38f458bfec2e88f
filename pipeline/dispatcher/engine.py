"""The port to whatever runs workers. The lease tells how a job fares; an engine only starts it."""

from typing import Protocol

from pipeline.queue.spawn import SpawnPayload


class Engine(Protocol):
    def submit(self, route: str, payload: SpawnPayload) -> str | None:
        """Have a worker of this route execute the job. What to `cancel` it by; None where nothing
        cancels. Raises EngineUnavailable."""

    def cancel(self, call_id: str) -> None:
        """Stop an execution if that is easily done. The lost lease stops it anyway."""
