import pytest

from config.routes import load_routes
from pipeline.report.idle import IdleShares, IdleWindow, idle_windows, window_usd
from pipeline.report.money import By, Ledger
from tests.support.report_results import days_ago, refused, result

WINDOWS = {"flux-dev": IdleWindow("Flux", 60)}


def test_each_kind_has_the_window_of_its_route() -> None:
    found = idle_windows(load_routes())
    assert found["flux-dev"] == IdleWindow("Flux", 60)
    assert found["sdxl-instantid"].route == "InstantId"


def test_a_cold_start_is_a_worker_and_a_worker_ends_with_a_window() -> None:
    """At the rate that its job was paid for."""
    cold = result(seconds=10, cold=20, usd=0.03)
    assert window_usd(cold, WINDOWS) == pytest.approx(0.06)
    assert window_usd(result(seconds=10, usd=0.01), WINDOWS) == 0
    assert window_usd(refused(), WINDOWS) == 0
    assert window_usd(cold, {}) == 0


def test_the_window_is_shared_by_all_jobs_of_the_day_and_route() -> None:
    """By the seconds that they worked, and not by the one that was first."""
    ledger = Ledger(idle=IdleShares(WINDOWS))
    ledger.add(result(tenant="acme", seconds=10, cold=20, usd=0.03))
    ledger.add(result(tenant="nova", seconds=90, usd=0.09))
    shares = {name: money.idle_usd for name, money in ledger.rows(By.TENANT)}

    assert shares == {"acme": pytest.approx(0.015), "nova": pytest.approx(0.045)}
    assert ledger.total.idle_usd == pytest.approx(0.06)
    assert ledger.document()["by_tenant"]["nova"]["idle_usd"] == pytest.approx(0.045)


def test_days_are_not_shared() -> None:
    ledger = Ledger(idle=IdleShares(WINDOWS))
    ledger.add(result(seconds=10, cold=20, usd=0.03))
    ledger.add(result(seconds=10, usd=0.01, finished_at=days_ago(1)))

    assert [money.idle_usd for _, money in ledger.rows(By.DAY)] == [0, pytest.approx(0.06)]
