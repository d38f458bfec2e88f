import pytest

from config.gpus import GpuTable, load_gpus
from config.routes import Route, load_routes
from config.settings import Settings
from pipeline.modal_app.idle_cost import (
    IdleBill,
    KeptContainers,
    idle_bill,
    idle_ticks,
    kept_containers,
)


def bill(settings: Settings | None = None, *, weights_gib: float = 80) -> IdleBill:
    return idle_bill(
        settings or Settings(),
        load_gpus(),
        run_s=50,
        cpu_cores=0.125,
        memory_mib=192,
        weights_gib=weights_gib,
    )


def test_the_dispatcher_is_paid_for_every_second_of_the_month() -> None:
    """0.125 cores at 0.0000131 and 0.1875 GiB at 0.00000222 dollars, for 2,628,000 seconds."""
    assert bill().dispatcher_usd == pytest.approx(5.397, abs=0.001)


@pytest.mark.parametrize(("idle_s", "ticks"), [(15, 4), (25, 2), (49, 2), (50, 1), (60, 1)])
def test_an_idle_run_looks_as_often_as_its_waits_allow(idle_s: float, ticks: int) -> None:
    assert idle_ticks(Settings(poll_idle_seconds=idle_s), run_s=50) == ticks


def test_every_look_is_two_lists() -> None:
    found = bill()
    assert found.lists == 43_800 * 4 * 2
    assert found.lists_usd == pytest.approx(found.lists * 0.000005)


def test_looking_less_often_costs_less() -> None:
    assert bill(Settings(poll_idle_seconds=30)).lists_usd < bill().lists_usd


def test_volumes_cost_only_what_is_beyond_the_free_share() -> None:
    settings = Settings(lora_cache_gib=50)
    assert bill(settings).volumes_usd == 0
    assert bill(settings).volumes_usd_beyond_free == pytest.approx(130 * 0.09)
    assert bill(settings, weights_gib=1000).volumes_usd == pytest.approx(26 * 0.09)


def test_the_sum_is_what_an_account_with_room_pays() -> None:
    found = bill()
    assert found.usd == found.dispatcher_usd + found.lists_usd + found.volumes_usd


def test_prices_are_those_of_the_table() -> None:
    dear: GpuTable = load_gpus().model_copy(update={"list_usd_per_1000": 1.0})
    found = idle_bill(Settings(), dear, run_s=50, cpu_cores=0.125, memory_mib=192, weights_gib=0)
    assert found.lists_usd == pytest.approx(350.4)


# ── what is kept, or pinned to a region ───────────────────────────────────────────────────────────


def kept(settings: Settings | None = None, **changes: object) -> dict[str, KeptContainers]:
    table = load_routes()
    flux = Route.model_validate({**table.route("Flux").model_dump(), **changes})
    found = kept_containers(
        settings or Settings(),
        table.model_copy(update={"routes": {"Flux": flux}}),
        load_gpus(),
        api_cores=1.0,
        api_mib=640,
    )
    return {each.option.partition(" ")[0]: each for each in found}


L40S_MONTH = 2_628_000 * (0.000542 + 4 * 0.0000131 + 48 * 0.00000222)


def test_as_shipped_nothing_is_kept() -> None:
    assert kept() == {}


def test_a_kept_container_is_paid_for_all_month() -> None:
    found = kept(min_containers=2)["min_containers"]
    assert (found.name, found.option) == ("Flux", "min_containers = 2")
    assert found.usd == found.most_usd == pytest.approx(2 * L40S_MONTH)


def test_a_spare_container_is_paid_for_while_work_goes_on() -> None:
    found = kept(buffer_containers=1)["buffer_containers"]
    assert found.usd == 0
    assert found.most_usd == pytest.approx(L40S_MONTH)


@pytest.mark.parametrize(
    ("regions", "more"), [(["eu"], 0.5), (["eu-west"], 0.75), (["eu", "us-east"], 0.75)]
)
def test_a_region_costs_its_share_more(regions: list[str], more: float) -> None:
    found = kept(regions=regions, min_containers=1, max_containers=3)["regions"]
    assert found.usd == pytest.approx(more * L40S_MONTH)
    assert found.most_usd == pytest.approx(3 * more * L40S_MONTH)


def test_a_kept_container_of_the_api_is_cheap_and_told() -> None:
    found = kept(Settings(modal_api_min_containers=1))["min_containers"]
    assert found.name == "api"
    assert found.usd == pytest.approx(2_628_000 * (0.0000131 + 640 / 1024 * 0.00000222))
