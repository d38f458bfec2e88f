"""Which engine a platform's name stands for. Each is imported when it is asked for: not every
machine has what the others need."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from config.settings import Settings
from config.tables import RouteTable
from pipeline.queue.spawn import SpawnPayload


class OpenEngine(Protocol):
    """An engine with what it holds."""

    def submit(self, route: str, payload: SpawnPayload) -> str | None: ...

    def cancel(self, call_id: str) -> None: ...

    def close(self) -> Sequence[SpawnPayload]:
        """Returns the jobs whose start nobody saw, and that end with this process."""


def open_engine(
    platform: str, settings: Settings, routes: RouteTable, environ: Mapping[str, str]
) -> OpenEngine:
    """`platform` is a value of RYLA_ENGINE, `environ` what local workers' is made of. No request is
    made yet. Raises InvalidSetting for a platform that the settings lack something for."""
    if platform == "runpod":
        from pipeline.engines.runpod import RunpodEngine

        return RunpodEngine(settings, routes)
    if platform == "modal":
        from pipeline.engines.modal import ModalEngine

        return ModalEngine(settings)
    from pipeline.engines.local import LocalEngine

    return LocalEngine(settings, routes, environ)
