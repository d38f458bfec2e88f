import pytest

from config.errors import InvalidInput
from pipeline.forecast.what_if import what_if
from pipeline.runtime import load_runtime
from tests.support.forecasts import cloud

RUNTIME = cloud()


def test_a_change_is_of_all_routes_unless_one_is_named() -> None:
    found = what_if("idle_s=30, Flux.gpus=H100+H200,Flux.idle_s=10").apply(RUNTIME).routes.routes

    assert (found["Flux"].idle_s, found["Flux"].gpus) == (10, ("H100", "H200"))
    assert (found["ZImage"].idle_s, found["ZImage"].gpus) == (30, ("L40S", "A100-80GB"))


def test_the_platforms_of_routes_may_be_others_in_their_order() -> None:
    changed = what_if("platforms=runpod+modal,overflow_after_s=60,down_after_s=5").apply(RUNTIME)
    for route in changed.routes.routes.values():
        assert route.platforms == ("runpod", "modal")
        assert (route.overflow_after_s, route.down_after_s) == (60, 5)


@pytest.mark.parametrize("number", ["4", "4.0"])
def test_workers_of_this_machine_are_its_containers(number: str) -> None:
    local = load_runtime(RUNTIME.settings, "local")
    assert what_if(f"max_containers={number}").apply(local).settings.local_workers == 4


def test_another_platform_may_be_asked_for() -> None:
    assert what_if("platform=runpod").platform == "runpod"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("gpus", "'gpus' is no change"),
        ("price=1", "'price=1' is no change"),
        ("platform=mars", "no platform is named 'mars'"),
    ],
)
def test_what_cannot_be_read_is_named(text: str, said: str) -> None:
    with pytest.raises(InvalidInput, match=said) as error:
        what_if(text)
    assert error.value.field == "--what-if"
    assert error.value.hint


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("gpus=K80", "no GPU named 'K80'"),
        ("platforms=modal+mars", "no platform is named 'mars'"),
        ("idle_s=soon", "idle_s"),
        ("max_containers=0", "max_containers"),
        ("Video.idle_s=3", "no route is named 'Video'"),
    ],
)
def test_what_a_route_cannot_have_is_named(text: str, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        what_if(text).apply(RUNTIME)
