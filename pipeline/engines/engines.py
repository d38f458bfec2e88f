"""Several platforms as one engine: each job goes to the platform that its payload names.

An engine is imported when it is opened: not every machine has what the others need.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

import structlog

from config.errors import EngineUnavailable, InvalidSetting
from config.platforms import MODAL
from config.routes import RouteTable
from config.settings import Settings, listed, variable
from pipeline.engines.machine import Machine
from pipeline.queue.spawn import Lost, SpawnPayload, left_to_lapse


class OpenEngine(Protocol):
    """An engine with what it holds."""

    def submit(self, route: str, payload: SpawnPayload) -> str | None: ...

    def cancel(self, call_id: str) -> None: ...

    def close(self) -> Sequence[SpawnPayload]:
        """Returns the jobs whose start nobody saw, and that end with this process."""


def open_engine(
    platform: str,
    settings: Settings,
    routes: RouteTable,
    environ: Mapping[str, str],
    lost: Lost,
    machine: Machine | None,
) -> OpenEngine:
    """`platform` is a value of RYLA_ENGINE, `environ` what local workers' is made of, `machine`
    where they run, and `lost` hears of the jobs of those that die. No request is made yet. Raises
    InvalidSetting for a platform that the settings lack something for."""
    if platform == "runpod":
        from pipeline.engines.runpod import RunpodEngine

        return RunpodEngine(settings, routes)
    if platform == "modal":
        from pipeline.engines.modal import ModalEngine

        return ModalEngine(settings)
    from pipeline.engines.local import LocalEngine

    return LocalEngine(settings, routes, environ, lost, machine)


def _has_modal() -> bool:
    """Whether its package and a token are here."""
    try:
        from pipeline.engines.modal import has_token
    except ModuleNotFoundError:
        return False
    return has_token()


class Engines:
    """What is spawned here, and where. A call's name has its platform in front."""

    def __init__(self, engines: Mapping[str, OpenEngine], default: str) -> None:
        """`default` takes the jobs whose payload names no platform."""
        self._engines = engines
        self._default = default

    @property
    def platforms(self) -> frozenset[str]:
        return frozenset(self._engines)

    def submit(self, route: str, payload: SpawnPayload) -> str | None:
        """Raises EngineUnavailable, also for a platform that is none of these."""
        platform = payload.platform or self._default
        engine = self._engines.get(platform)
        if engine is None:
            raise EngineUnavailable(f"this dispatcher sends no jobs to {platform}")
        call_id = engine.submit(route, payload)
        return None if call_id is None else f"{platform}:{call_id}"

    def cancel(self, call_id: str) -> None:
        """A name without a platform is passed on to each: only one of them knows it."""
        platform, _, name = call_id.partition(":")
        if platform in self._engines:
            self._engines[platform].cancel(name)
        else:
            for engine in self._engines.values():
                engine.cancel(call_id)

    def close(self) -> Sequence[SpawnPayload]:
        return [payload for engine in self._engines.values() for payload in engine.close()]


def open_engines(
    settings: Settings,
    routes: RouteTable,
    environ: Mapping[str, str],
    lost: Lost = left_to_lapse,
    machine: Machine | None = None,
) -> Engines:
    """Those of RYLA_PLATFORMS, and that of RYLA_ENGINE. Raises InvalidSetting for one that the
    settings lack something for, and for a route that names none of them.

    Modal is left out where it is another's platform and this machine has no token for it: each job
    that was refused for that would be an outage of Modal to all other dispatchers.
    """
    names = {settings.engine, *listed(settings.platforms)}
    if MODAL in names and settings.engine != MODAL and not _has_modal():
        structlog.get_logger(__name__).warning(
            "platform_passed_over", platform=MODAL, why="no token"
        )
        names.remove(MODAL)
    for route in routes.routes.values():
        if route.platforms and not names & set(route.platforms):
            name = variable("platforms")
            raise InvalidSetting(
                f"the route {route.name} runs on {', '.join(route.platforms)}, and this dispatcher"
                f" sends jobs to {', '.join(sorted(names))}",
                field=name,
                hint=f"Set {name}={','.join(route.platforms)}.",
            )
    opened = {
        name: open_engine(name, settings, routes, environ, lost, machine) for name in sorted(names)
    }
    return Engines(opened, settings.engine)
