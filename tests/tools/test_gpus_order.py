import pytest

from config.gpus import load_gpus
from config.models import load_models
from config.routes import Route, load_routes
from tools.gpus_order import PICTURES_A_START, Cost, computed_order, costs_of

GPUS, MODELS = load_gpus(), load_models()
ROUTES = load_routes().routes


def found(route: Route) -> dict[str, Cost]:
    return {cost.gpu.name: cost for cost in costs_of(route, GPUS, MODELS)}


@pytest.mark.parametrize("name", ROUTES)
def test_a_route_asks_for_gpus_in_the_order_of_what_a_picture_costs(name: str) -> None:
    route = ROUTES[name]

    assert computed_order(costs_of(route, GPUS, MODELS)) == [*route.gpus], (
        "config/routes.toml and tools/gpus_order.py disagree: see docs/gpus.md"
    )


def test_a_dearer_second_is_cheaper_from_some_pictures_a_start_on() -> None:
    l40s, h100 = (found(ROUTES["Flux"])[name] for name in ("L40S", "H100"))
    even = h100.cheaper_from(l40s)

    assert even is not None
    assert even > PICTURES_A_START
    assert h100.usd(even) == pytest.approx(l40s.usd(even))
    assert h100.usd(2 * even) < l40s.usd(2 * even)
    assert l40s.cheaper_from(h100) is None


def test_a_card_that_cannot_hold_a_kind_of_the_route_is_not_compared() -> None:
    assert "A10" in found(ROUTES["InstantId"])
    assert not {"A10", "A100-40GB", "none"} & found(ROUTES["Flux"]).keys()
