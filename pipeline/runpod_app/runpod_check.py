"""What RunPod's part of a deployment needs and whether it is there: one row a thing."""

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from config.errors import EngineUnavailable, InvalidSetting
from config.gpus import GpuTable
from config.routes import RouteTable
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
    for route in routes.routes:
        if route not in named:
            yield Row(f"endpoint {route}", Health.WARNING, "none", f"Add {route}=… to {ENDPOINTS}.")
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


def of_prices(routes: RouteTable, gpus: GpuTable, platform: str) -> Row:
    """Whether a route has a GPU that is to be had there, so that its seconds are priced."""
    had = gpus.platforms[platform].usd_per_second if platform in gpus.platforms else {}
    lacking = [
        route.name
        for route in routes.routes.values()
        if not {gpus.gpu(name).name for name in route.gpus} & set(had)
    ]
    if not lacking:
        return Row("prices", Health.OK, f"of {gpus.platforms[platform].source}")
    return Row(
        "prices",
        Health.WARNING,
        f"none of the GPUs of {', '.join(lacking)} is to be had there",
        "Write gpus = [...] for it into the file of RYLA_ROUTES_FILE.",
    )
