from datetime import timedelta

import pytest

from pipeline.contract.result import Status
from pipeline.report.money import NOBODY, By, Ledger, Money
from tests.support.report_results import NOON, days_ago, refused, result


def ledger(*results: object) -> Ledger:
    made = Ledger()
    for each in results:
        made.add(each)  # type: ignore[arg-type]
    return made


def test_dollars_are_summed_with_cold_starts_and_lost_attempts_apart() -> None:
    total = ledger(
        result(usd=0.03, cold_usd=0.01, cold=5, seconds=10),
        result(usd=0.01, lost_usd=0.02, seconds=10),
    ).total

    assert total.usd == pytest.approx(0.04)
    assert total.cold_usd == pytest.approx(0.01)
    assert total.cold_share == pytest.approx(0.25)
    assert total.lost_usd == pytest.approx(0.02)
    assert total.total_usd == pytest.approx(0.06)
    assert (total.upper_bounds, total.gpu_seconds) == (1, 25)


def test_a_failed_job_was_paid_for_and_a_refused_one_was_not() -> None:
    total = ledger(result(status=Status.FAILED, usd=0.02, error="node_failed"), refused()).total

    assert (total.jobs, total.pictures, total.usd) == (2, 0, 0.02)
    assert total.ends == {Status.FAILED: 1, Status.REJECTED: 1}
    assert ledger(refused()).total.cold_share is None


def test_sums_go_by_day_tenant_kind_and_gpu() -> None:
    made = ledger(
        result(finished_at=days_ago(1), tenant="acme", model="flux-dev", gpu="L40S", usd=1),
        result(finished_at=NOON, tenant="globex", model="flux-lora", gpu="H100", usd=2),
        result(finished_at=NOON + timedelta(hours=1), tenant="acme", model="flux-dev", usd=4),
    )

    totals = {each: {name: money.usd for name, money in made.rows(each)} for each in By}

    assert totals == {
        By.DAY: {"2026-11-19": 1, "2026-11-20": 6},
        By.TENANT: {"acme": 5, "globex": 2},
        By.KIND: {"flux-dev": 5, "flux-lora": 2},
        By.GPU: {"L40S": 5, "H100": 2},
    }


def test_days_come_in_order_and_the_rest_by_what_it_cost() -> None:
    made = ledger(
        result(finished_at=NOON, tenant="b", usd=1),
        result(finished_at=days_ago(2), tenant="a", usd=1),
        result(finished_at=days_ago(1), tenant="c", usd=9),
    )

    assert [name for name, _ in made.rows(By.DAY)] == ["2026-11-18", "2026-11-19", "2026-11-20"]
    assert [name for name, _ in made.rows(By.TENANT)] == ["c", "a", "b"]


def test_what_names_nobody_has_a_row_of_its_own() -> None:
    made = ledger(result(status=Status.CANCELLED, engine=None, tenant=None, model=None))

    assert [made.rows(each)[0][0] for each in (By.TENANT, By.KIND, By.GPU)] == [NOBODY] * 3


def test_sums_can_be_added_up() -> None:
    parts = [ledger(result(usd=usd), refused()).total for usd in (1, 2)]

    both = parts[0] + parts[1]

    assert (both.jobs, both.usd, both.ends[Status.REJECTED]) == (4, 3, 2)
    assert Money() + both == both
