from collections.abc import Iterable
from datetime import date, timedelta
from typing import Any

import pytest

from config.budgets import BudgetTable
from config.errors import BudgetSpent
from pipeline.contract.errors import error_info
from pipeline.contract.lease import Lease, Phase, Spent
from pipeline.contract.spend_entry import SpendEntry
from pipeline.queue.budgets import Account, Ledger, Payer, Reserved, reserved
from pipeline.queue.expiry import ListedLease
from tests.support.jobs import NOW, a_lease, entry

TODAY = date(2026, 1, 1)


def ledger(**rows: dict[str, Any]) -> Ledger:
    return Ledger(BudgetTable.model_validate({"budgets": rows}), TODAY, "modal")


def ended(id: str, cents: int, **fields: Any) -> SpendEntry:
    given = {"day": TODAY, "tenant": "acme", "platform": "modal", **fields}
    return SpendEntry(**given, id=id, units=cents * 100)


def job(id: str = "job", usd: float = 0.1, **fields: Any) -> Lease:
    given = {"id": id, "entry": f"inbox/{id}.json", "platform": "modal", "estimate_usd": usd}
    return a_lease(**{**given, **fields})


def listed(lease: Lease | None, id: str = "job") -> ListedLease:
    return ListedLease(id, entry(f"leases/{id}.json"), lease)


def taken(of: Ledger, jobs: Iterable[Lease]) -> int:
    return sum(of.take(each) is None for each in jobs)


def test_jobs_are_taken_until_the_budget_has_no_room_for_the_next() -> None:
    total = ledger(total={"usd": 1.0})
    total.add_ended([ended("a", 65)])
    assert taken(total, [job(f"j{n}") for n in range(9)]) == 3
    assert total.used(Account("total")) == pytest.approx(0.95)


@pytest.mark.parametrize(
    ("row", "counts"),
    [
        ({}, True),
        ({"tenant": "acme"}, True),
        ({"tenant": "zoo"}, False),
        ({"platform": "modal"}, True),
        ({"platform": "runpod"}, False),
        ({"tenant": "acme", "batch": "autumn", "since": TODAY}, False),
    ],
)
def test_a_job_counts_under_the_rows_that_it_falls_under(row: dict[str, Any], counts: bool) -> None:
    one = ledger(row={"usd": 1.0, **row})
    one.add_ended([ended("a", 100)])
    assert (one.take(job()) is not None) == counts


def test_each_tenant_has_a_budget_of_its_own() -> None:
    each = ledger(each={"usd": 1.0, "tenant": "*"})
    each.add_ended([ended("a", 100), ended("b", 1, tenant="zoo")])
    assert each.take(job()) is not None
    assert each.take(job(tenant="zoo")) is None
    assert [str(account) for account in each.accounts()] == ["each of acme", "each of zoo"]


def test_a_batch_counts_from_its_first_day_on_and_other_budgets_today() -> None:
    since = TODAY - timedelta(days=1)
    both = ledger(
        autumn={"usd": 1.0, "tenant": "acme", "batch": "autumn", "since": since},
        total={"usd": 9.0},
    )
    both.add_ended([ended("a", 60, batch="autumn", day=since), ended("b", 30, batch="autumn")])
    assert both.used(Account("autumn")) == pytest.approx(0.9)
    assert both.used(Account("total")) == pytest.approx(0.3)
    assert both.take(job(batch="autumn", usd=0.2)) is not None
    assert both.take(job(usd=0.2)) is None


def test_a_job_that_ended_between_the_listings_counts_once() -> None:
    total = ledger(total={"usd": 1.0})
    total.add_leases({"a": Reserved(Payer("acme", "modal"), 0.5)}, ())
    total.add_ended([ended("a", 20)])
    assert total.used(Account("total")) == pytest.approx(0.2)


def test_a_job_that_is_taken_over_does_not_count_against_itself() -> None:
    total = ledger(total={"usd": 1.0})
    total.add_leases({"job": Reserved(Payer("acme", "modal"), 0.9)}, ())
    assert total.take(job(usd=0.8, spent=Spent(usd=0.1))) is None
    assert total.used(Account("total")) == pytest.approx(0.9)


def test_a_budget_refuses_with_the_numbers_where_it_says_so() -> None:
    total = ledger(total={"usd": 1.0, "on_exceeded": "refuse"})
    total.add_ended([ended("a", 95)])
    with pytest.raises(BudgetSpent, match=r"total has \$1, \$0\.9500 .* may cost \$0\.1000"):
        total.take(job())


def test_a_job_that_fits_into_no_day_is_refused_and_does_not_wait_for_ever() -> None:
    with pytest.raises(BudgetSpent):
        ledger(total={"usd": 1.0}).take(job(usd=1.5))


def test_the_inbox_waits_where_a_budget_is_used_up_or_others_wait_for_it() -> None:
    total, unknown = ledger(acme={"usd": 1.0, "tenant": "acme"}), None
    assert not total.is_closed("acme")
    waits = total.take(job(usd=0.5))
    assert waits is None
    total.add_ended([ended("a", 40)])
    why = total.take(job("two", usd=0.5))
    assert why is not None
    parked = job("two", usd=0.5, phase=Phase.RETRY, error=error_info(why))
    again = ledger(acme={"usd": 1.0, "tenant": "acme"}, total={"usd": 9.0})
    again.add_leases({}, [parked])
    assert again.is_closed("acme")
    assert not again.is_closed("zoo")
    assert not again.is_closed(unknown)
    assert not again.is_short_for(parked)


RUNNING = {
    "phase": Phase.RUNNING,
    "started_at": NOW - timedelta(seconds=100),
    "rate_usd_per_s": 0.01,
}


@pytest.mark.parametrize(
    ("fields", "usd"),
    [
        ({}, 0.3),
        ({"phase": Phase.SPAWNED}, 0.3),
        (RUNNING, 1.1),
        (RUNNING | {"started_at": NOW}, 0.3),
        ({"phase": Phase.RETRY}, 0.1),
        ({"committed": True}, None),
        ({"vacant": True, "phase": Phase.RETRY}, None),
    ],
)
def test_a_lease_counts_what_it_spent_and_what_it_may_cost_yet(
    fields: dict[str, Any], usd: float | None
) -> None:
    lease = job(usd=0.2, spent=Spent(usd=0.1), **fields)
    found = reserved(listed(lease), lease, NOW)
    assert found is None if usd is None else found is not None
    assert found is None or found.usd == pytest.approx(usd)


def test_a_lease_that_has_changed_since_it_was_read_counts_as_one_that_runs() -> None:
    waiting = job(usd=0.2, phase=Phase.RETRY)
    found = reserved(listed(None), waiting, NOW)
    assert found is not None
    assert found.usd == pytest.approx(0.2)
    assert reserved(listed(None), None, NOW) is None
