"""What RunPod's part of a deployment needs and whether it is there: one row a thing."""

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from config.errors import EngineUnavailable, InvalidSetting
from config.gpus import GpuTable
from config.platforms import RUNPOD
from config.routes import Route, RouteTable
from config.settings import Settings, endpoints, variable
from pipeline.doctor import Health, Row
from pipeline.engines.runpod import require_known_endpoint

ENDPOINTS = variable("runpod_endpoints")


class Account(Protocol):
    def health(self, endpoint: str) -> Mapping[str, Any]:
        """Jobs and workers of an endpoint by their state. Raises EngineUnavailable."""


def of_endpoints(account: Account, settings: Settings, routes: RouteTable) -> Iterator[Row]:
    """Each route's endpoint, and whether it answers this key."""
    named = endpoints(settings)
    for name in (route.name for route in _served(routes) if route.name not in named):
        yield Row(f"endpoint {name}", Health.WARNING, "none", f"Add {name}=… to {ENDPOINTS}.")
    for name, endpoint in named.items():
        yield _endpoint(account, name, endpoint, routes)


def _endpoint(account: Account, name: str, endpoint: str, routes: RouteTable) -> Row:
    try:
        require_known_endpoint(name, routes)  # or no dispatcher starts
        workers = account.health(endpoint).get("workers", {})
    except (InvalidSetting, EngineUnavailable) as error:
        return Row(f"endpoint {name}", Health.FAILED, error.message, error.hint)
    if not isinstance(workers, Mapping):
        return Row(f"endpoint {name}", Health.FAILED, f"{endpoint}: it tells of no workers")
    said = ", ".join(f"{count} {state}" for state, count in workers.items() if count)
    return Row(f"endpoint {name}", Health.OK, f"{endpoint}: workers {said or 'none'}")


def _served(routes: RouteTable) -> Iterator[Route]:
    """Those whose jobs may come here: of the others nothing is needed."""
    for route in routes.routes.values():
        if not route.platforms or RUNPOD in route.platforms:
            yield route


def of_prices(routes: RouteTable, gpus: GpuTable) -> Row:
    """Whether a route has a GPU that is to be had there, so that its seconds are priced."""
    prices = gpus.platforms.get(RUNPOD)
    had = prices.usd_per_second if prices else {}
    lacking = [
        route.name
        for route in _served(routes)
        if not {gpus.gpu(name).name for name in route.gpus} & set(had)
    ]
    if not lacking:
        return Row("prices", Health.OK, f"of {prices.source}" if prices else "none are needed")
    return Row(
        "prices",
        Health.WARNING,
        f"none of the GPUs of {', '.join(lacking)} is to be had there",
        "Write gpus = [...] for it into the file of RYLA_ROUTES_FILE.",
    )
