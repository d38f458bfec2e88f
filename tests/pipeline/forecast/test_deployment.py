from pipeline.forecast.deployment import Deployment, platforms_named
from pipeline.forecast.what_if import what_if
from tests.support.forecasts import cloud

CHANGE = what_if("Flux.platforms=runpod+modal+local")
MODAL, RUNPOD = CHANGE.apply(cloud("modal")), CHANGE.apply(cloud("runpod"))
ROUTES = [*MODAL.routes.routes.values()]


def test_jobs_go_where_their_route_names_as_far_as_that_is_there() -> None:
    both = Deployment({"modal": MODAL, "runpod": RUNPOD}, "modal")
    assert both.platforms_of("Flux") == ("runpod", "modal")
    assert both.platforms_of("ZImage") == ("modal",)
    assert Deployment.of(RUNPOD).platforms_of("Flux") == ("runpod",)
    assert Deployment.of(RUNPOD).platforms_of("ZImage") == ("runpod",)


def test_all_that_routes_name_is_there_unless_a_setting_bounds_it() -> None:
    assert platforms_named(ROUTES, "modal", frozenset()) == ["modal", "runpod", "local"]
    assert platforms_named(ROUTES, "modal", frozenset({"runpod"})) == ["modal", "runpod"]
