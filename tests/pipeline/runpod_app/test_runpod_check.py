from collections.abc import Mapping
from typing import Any

from config.errors import EngineUnavailable
from config.gpus import load_gpus
from config.routes import load_routes
from config.settings import Settings
from pipeline.doctor import Health
from pipeline.runpod_app.runpod_check import of_endpoints, of_prices


class Account:
    def health(self, endpoint: str) -> Mapping[str, Any]:
        if endpoint == "gone":
            raise EngineUnavailable("RunPod answers 404", hint="look")
        if endpoint == "odd":
            return {"workers": ["?"]}
        return {"workers": {"idle": 2, "running": 0}}


def rows(named: str) -> dict[str, tuple[Health, str, str | None]]:
    settings = Settings(runpod_endpoints=named)
    found = of_endpoints(Account(), settings, load_routes())
    return {row.check.removeprefix("endpoint "): (row.health, row.found, row.fix) for row in found}


def test_each_route_wants_an_endpoint_that_answers() -> None:
    found = rows("Flux=abc123,InstantId=gone")
    assert found["Flux"][:2] == (Health.OK, "abc123: workers 2 idle")
    assert found["InstantId"] == (Health.FAILED, "RunPod answers 404", "look")
    assert found["ZImage"][:2] == (Health.WARNING, "none")


def test_an_endpoint_whose_answer_says_no_workers_is_not_well() -> None:
    assert rows("Flux=odd")["Flux"][0] is Health.FAILED


def test_an_endpoint_of_no_route_or_of_no_gpu_of_it_is_a_mistake() -> None:
    """With which no dispatcher would start."""
    found = rows("Fluks=abc123,Flux@H100=def456,Flux@H900=ghi789")
    assert found["Fluks"][0] is found["Flux@H900"][0] is Health.FAILED
    assert found["Fluks"][2] == "Did you mean Flux?"
    assert found["Flux@H100"][0] is Health.OK


def test_a_route_whose_gpus_are_not_to_be_had_there_is_named() -> None:
    gpus, routes = load_gpus(), load_routes()
    assert of_prices(routes, gpus).health is Health.OK
    flux = routes.route("Flux").model_copy(update={"gpus": ("T4",)})
    table = routes.model_copy(update={"routes": {"Flux": flux}})
    row = of_prices(table, gpus)
    assert (row.health, "Flux" in row.found) == (Health.WARNING, True)


def test_a_route_of_another_platform_needs_nothing_here() -> None:
    gpus, routes = load_gpus(), load_routes()
    flux = routes.route("Flux").model_copy(update={"gpus": ("T4",), "platforms": ("modal",)})
    table = routes.model_copy(update={"routes": {"Flux": flux}})
    assert of_prices(table, gpus).health is Health.OK
    assert list(of_endpoints(Account(), Settings(), table)) == []
