import tomllib
from pathlib import Path

import pytest

from config.gpus import Gpu, load_gpus
from config.models import load_models
from config.routes import load_routes
from handlers.kinds.registry import KINDS
from tools.gpus_doc import FORCE, PATH, render
from tools.gpus_figures import ASKED, PICTURES, SHEET_GPUS, Line, lines, reason, sheet_lines

GPUS = load_gpus()


def found(kind: str) -> dict[str, Line]:
    return {line.gpu.name: line for line in lines(kind, GPUS, load_routes(), load_models())}


def test_the_page_of_gpus_is_current() -> None:
    assert PATH.read_text("utf-8") == render(), "run: python -m tools.gpus_doc"


@pytest.mark.parametrize("kind", PICTURES)
def test_every_card_of_a_route_has_a_line_and_so_has_the_one_that_was_asked(kind: str) -> None:
    cards = found(kind)

    route = load_routes().route(KINDS[kind].route)
    assert [name for name, line in cards.items() if line.rank] == list(route.gpus)
    assert [name for name, line in cards.items() if line.asked] == [
        name for each, name in ASKED.items() if each == kind
    ]
    assert all(line.seconds and line.usd and line.floor_s for line in cards.values())


def test_loras_do_not_fit_the_card_that_was_asked_and_miss_the_target_there() -> None:
    cards = found("flux-lora")
    t4, l40s = cards["T4"], cards["L40S"]

    assert t4.floor_s == pytest.approx(21.4, abs=0.1)
    assert not t4.fits
    assert len(t4.problems) == 2
    assert "dearer a picture than L40S" in reason(t4, l40s)
    assert l40s.problems == []


def test_a_card_that_is_taken_as_asked_says_so() -> None:
    a10 = found("sdxl-instantid")["A10"]

    assert reason(a10, a10) == "as asked"


def test_both_passes_count_into_the_floor() -> None:
    both, base, face = (
        found(kind)["L40S"].floor_s or 0
        for kind in ("flux-instantid", "flux-dev", "sdxl-instantid")
    )

    assert both == pytest.approx(base + face, rel=0.01)


def test_the_routes_that_are_shown_can_be_laid_over_the_packaged_ones(tmp_path: Path) -> None:
    file = tmp_path / "routes.toml"
    file.write_text(FORCE.partition("```toml\n")[2].partition("```")[0])

    assert set(tomllib.loads(file.read_text())["routes"]) == {"Flux", "InstantId"}
    routes = load_routes(file)
    assert routes.route("Flux").gpus == ("T4",)
    assert routes.route("Flux").cpu_cores == load_routes().route("Flux").cpu_cores


def test_a_card_of_unknown_memory_has_its_figures_all_the_same() -> None:
    line = next(iter(found("flux-dev").values()))
    bare = Gpu(name="X", usd_per_second=1, source="x", date=line.gpu.date)

    assert Line(**{**vars(line), "gpu": bare}).fits is None


def test_a_sheet_has_a_price_on_its_route_and_on_an_a10() -> None:
    found = [*sheet_lines(GPUS, load_routes())]

    assert {line.gpu for line in found} == {*SHEET_GPUS}
    assert SHEET_GPUS[0] == load_routes().route("Flux").gpus[0]
    for line in found:
        assert 0 < line.usd < line.most_usd
    dearest = {name: max(line.usd for line in found if line.gpu == name) for name in SHEET_GPUS}
    assert dearest["A10"] > dearest["L40S"]
