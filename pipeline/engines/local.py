"""Workers as child processes of this one: what Modal's containers are, on one machine."""

import time
from collections.abc import Mapping, Sequence
from uuid import uuid4

from config.errors import EngineUnavailable
from config.routes import RouteTable
from config.settings import PREFIX, Settings, devices
from pipeline.engines.card_places import CardPlaces
from pipeline.engines.local_crew import Crew, Order
from pipeline.engines.machine import Machine, unbounded
from pipeline.loras.eviction import LoraEviction
from pipeline.queue.spawn import Lost, SpawnPayload, left_to_lapse


class LocalEngine:
    """Starts workers when jobs come, up to `local_workers` a route and GPU, and unloads idle ones.

    A worker that dies takes one job with it: `lost` hears of that at once. One that had begun comes
    back when its lease lapses.
    """

    def __init__(
        self,
        settings: Settings,
        routes: RouteTable,
        environ: Mapping[str, str],
        lost: Lost = left_to_lapse,
        machine: Machine | None = None,
    ) -> None:
        """`environ` is this process's own; children get it with these settings in place of its.
        Without a `machine` all routes fit."""
        self._settings = settings
        self._lost = lost
        self._routes = routes
        self._environ = {
            name: value for name, value in environ.items() if not name.startswith(PREFIX)
        } | settings.environ()
        known = machine or unbounded(devices(settings), [*routes.routes], settings.local_workers)
        self._places = CardPlaces(known, settings.slice_seconds)
        self._loras = LoraEviction.of(settings)
        self._crews: dict[str, Crew] = {}
        self._closed = False

    def submit(self, route: str, payload: SpawnPayload) -> str:
        """Raises EngineUnavailable once it is closed, for a route that is not there, and while the
        starts of its workers fail."""
        if self._closed:
            raise EngineUnavailable("the local engine is closed")
        if route not in self._routes.routes:
            raise EngineUnavailable(f"the local engine has no route {route}")
        for misfit in self._places.machine.misfits:
            if misfit.route == route:
                raise EngineUnavailable(misfit.message, hint=misfit.hint)
        if route not in self._crews:
            self._crews[route] = Crew(
                *(self._routes.route(route), self._settings, self._environ),
                *(self._loras, self._lost, self._places),
            )
        order = Order(uuid4().hex, payload, time.monotonic())
        self._crews[route].put(order)
        return order.call_id

    def cancel(self, call_id: str) -> None:
        """Nothing to do: the worker finds its lease gone at its next renewal."""

    def pids(self) -> tuple[int, ...]:
        """Of the workers that are up."""
        return tuple(pid for crew in self._crews.values() for pid in crew.pids())

    def close(self) -> Sequence[SpawnPayload]:
        """Running jobs are handed back by their workers. Returns those whose start nobody saw."""
        self._closed = True
        return [payload for crew in self._crews.values() for payload in crew.close()]
