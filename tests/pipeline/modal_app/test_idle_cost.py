import pytest

from config.settings import Settings
from config.tables import GpuTable, load_gpus
from pipeline.modal_app.idle_cost import IdleBill, idle_bill, idle_ticks


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
