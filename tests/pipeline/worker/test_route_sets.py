from pipeline.worker.route_sets import kinds_on, sets_on


def test_a_route_has_the_sets_of_its_kinds_its_main_one_first() -> None:
    assert kinds_on("Flux")[0] == "flux-dev"
    assert sets_on("Flux")[0] == "flux-dev"
    assert {"flux-schnell", "sdxl-instantid"} <= set(sets_on("Flux"))
    assert sets_on("InstantId") == ("sdxl-instantid", "antelopev2")
