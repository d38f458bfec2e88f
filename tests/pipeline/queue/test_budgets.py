from collections.abc import Iterable
from datetime import date, timedelta
from typing import Any

import pytest

from config.budgets import BudgetTable
from config.errors import BudgetSpent
from pipeline.contract.error_info import ErrorInfo, error_info
from pipeline.contract.lease import Lease, Phase, Spent
from pipeline.contract.spend_entry import SpendEntry
from pipeline.queue.budgets import Account, Ledger, Payer, Reserved, reserved, reserved_by
from pipeline.queue.expiry import ListedLease
from tests.support.jobs import NOW, a_lease, entry

TODAY = date(2026, 1, 1)


def ledger(**rows: dict[str, Any]) -> Ledger:
    return Ledger(BudgetTable.model_validate({"budgets": rows}), TODAY, "modal")


def ended(id: str, cents: int, **fields: Any) -> SpendEntry:
    given = {"day": TODAY, "tenant": "acme", "platform": "modal", **fields}
    return SpendEntry(**given, id=id, units=cents * 100)


def job(id: str = "job", usd: float | None = 0.1, **fields: Any) -> Lease:
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


def test_a_job_that_fits_exactly_is_taken_and_the_next_waits() -> None:
    total = ledger(total={"usd": 1.0})
    total.add_ended([ended("a", 50)])
    assert total.take(job(usd=0.5)) is None
    assert total.used(Account("total")) == 1.0
    assert total.take(job("next", usd=0.01)) is not None


def test_a_job_without_an_estimate_needs_nothing_but_waits_where_all_is_used() -> None:
    total = ledger(total={"usd": 1.0})
    total.add_ended([ended("a", 75)])
    assert total.take(job(usd=None, spent=Spent(usd=0.25))) is None
    assert total.used(Account("total")) == 1.0
    why = total.take(job("next", usd=None))
    assert why is not None
    assert why.message.endswith("this job may cost $0.0000")


def test_earlier_attempts_count_as_what_a_job_needs() -> None:
    total = ledger(total={"usd": 1.0})
    total.add_ended([ended("a", 50)])
    assert total.take(job(usd=0.25, spent=Spent(usd=0.5))) is not None
    assert total.take(job(usd=0.25, spent=Spent(usd=0.25))) is None


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


def test_a_job_without_a_tenant_has_no_budget_of_its_own() -> None:
    each = ledger(each={"usd": 1.0, "tenant": "*"})
    each.add_ended([ended("a", 100, tenant=None)])
    assert each.take(job(tenant=None, usd=5.0)) is None
    assert each.accounts() == []


@pytest.mark.parametrize(
    ("of_job", "row", "counts"),
    [
        (None, "modal", True),
        (None, "runpod", False),
        ("runpod", "runpod", True),
        ("runpod", "modal", False),
    ],
)
def test_a_job_counts_where_it_runs_and_at_the_dispatchers_platform_if_its_route_names_none(
    of_job: str | None, row: str, counts: bool
) -> None:
    one = ledger(row={"usd": 1.0, "platform": row})
    assert one.take(job(platform=of_job)) is None
    assert one.used(Account("row")) == pytest.approx(0.1 if counts else 0.0)


def test_accounts_are_in_order_with_those_of_rows_that_nothing_counts_under() -> None:
    of = ledger(
        total={"usd": 9.0}, each={"usd": 9.0, "tenant": "*"}, acme={"usd": 9.0, "tenant": "acme"}
    )
    assert of.accounts() == [Account("acme"), Account("total")]
    of.add_leases({"a": Reserved(Payer("zoo", "modal"), 0.5)}, ())
    of.add_ended([ended("b", 10)])
    assert of.accounts() == [
        Account("acme"),
        Account("each", "acme"),
        Account("each", "zoo"),
        Account("total"),
    ]


def test_a_new_day_begins_with_nothing_spent() -> None:
    yesterday = ended("a", 100, day=TODAY - timedelta(days=1))
    total = ledger(total={"usd": 1.0})
    total.add_ended([yesterday])
    assert total.used(Account("total")) == 0.0
    assert total.take(job()) is None


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


def test_a_job_that_goes_to_another_platform_needs_room_there_and_leaves_its_own() -> None:
    both = ledger(there={"usd": 1.0, "platform": "runpod"}, here={"usd": 1.0, "platform": "modal"})
    both.add_leases({"job": Reserved(Payer("acme", "modal"), 0.5)}, ())
    both.add_ended([ended("a", 75, platform="runpod")])
    assert both.take(job(usd=0.5, platform="runpod")) is not None
    assert both.used(Account("here")) == 0.5
    assert both.take(job(usd=0.25, platform="runpod")) is None
    assert (both.used(Account("here")), both.used(Account("there"))) == (0.0, 1.0)


def test_a_budget_refuses_with_the_numbers_where_it_says_so() -> None:
    total = ledger(total={"usd": 1.0, "on_exceeded": "refuse"})
    total.add_ended([ended("a", 95)])
    with pytest.raises(BudgetSpent, match=r"total has \$1, \$0\.9500 .* may cost \$0\.1000"):
        total.take(job())


def test_of_two_budgets_without_room_the_first_says_whether_a_job_waits() -> None:
    waits, refuses = {"usd": 1.0}, {"usd": 0.5, "tenant": "acme", "on_exceeded": "refuse"}
    first, second = ledger(a=waits, b=refuses), ledger(b=refuses, a=waits)
    for of in (first, second):
        of.add_ended([ended("x", 100)])
    error = first.take(job())
    assert error is not None
    assert error.value == "a"
    with pytest.raises(BudgetSpent, match="the budget b has"):
        second.take(job())


def test_the_numbers_are_those_of_today_or_of_the_batch_from_its_first_day_on() -> None:
    since = TODAY - timedelta(days=1)
    row = {"tenant": "acme", "batch": "autumn", "since": since}
    batch, total = ledger(autumn={"usd": 0.5, **row}), ledger(total={"usd": 0.5})
    for of in (batch, total):
        of.add_ended([ended("a", 45, batch="autumn")])
    waits = [of.take(job(batch="autumn")) for of in (batch, total)]
    assert [each and each.message for each in waits] == [
        "the budget autumn has $0.5, $0.4500 of it are spent or reserved since 2025-12-31,"
        " and this job may cost $0.1000",
        "the budget total has $0.5, $0.4500 of it are spent or reserved today,"
        " and this job may cost $0.1000",
    ]
    assert [each and each.value for each in waits] == ["autumn", "total"]


def test_a_job_that_fits_into_no_day_is_refused_and_does_not_wait_for_ever() -> None:
    for refused in (job(usd=1.5), job(spent=Spent(usd=0.75), usd=0.5)):
        with pytest.raises(BudgetSpent):
            ledger(total={"usd": 1.0}).take(refused)


@pytest.mark.parametrize("usd", [0.75, None])
def test_a_job_that_fits_into_a_day_of_its_own_waits_for_one(usd: float | None) -> None:
    total = ledger(total={"usd": 1.0})
    total.add_ended([ended("a", 100)])
    assert total.take(job(spent=Spent(usd=0.25), usd=usd)) is not None


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


@pytest.mark.parametrize(("cents", "closed"), [(99, False), (100, True), (101, True)])
def test_the_inbox_is_closed_from_the_last_cent_on(cents: int, closed: bool) -> None:
    total = ledger(total={"usd": 1.0})
    total.add_ended([ended("a", cents)])
    assert total.is_closed("acme") == closed
    assert total.is_short_for(job(usd=0.01)) == closed


def test_a_budget_that_refuses_closes_no_inbox_and_holds_no_job() -> None:
    total = ledger(total={"usd": 1.0, "on_exceeded": "refuse"})
    total.add_ended([ended("a", 100)])
    assert not total.is_closed("acme")
    assert not total.is_short_for(job())


OUTAGE = ErrorInfo(code="outage", message="none", value="total", retryable=True)


@pytest.mark.parametrize("error", [None, OUTAGE])
def test_a_job_that_waits_for_something_else_closes_no_inbox(error: ErrorInfo | None) -> None:
    total = ledger(total={"usd": 1.0})
    total.add_leases({}, [job(phase=Phase.RETRY, error=error)])
    assert not total.is_closed("acme")


SHORT = ErrorInfo(code="budget_spent", message="none is left", value="total", retryable=True)
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
        ({"phase": Phase.RETRY}, 0.3),
        ({"phase": Phase.RETRY, "error": OUTAGE}, 0.3),
        ({"phase": Phase.RETRY, "error": SHORT}, 0.1),
        ({"phase": Phase.SPAWNED, "error": SHORT}, 0.3),
        ({"committed": True}, None),
        ({"vacant": True, "phase": Phase.RETRY}, None),
    ],
)
def test_a_lease_counts_what_it_spent_and_what_it_may_cost_yet_unless_it_waits_for_a_budget(
    fields: dict[str, Any], usd: float | None
) -> None:
    lease = job(usd=0.2, spent=Spent(usd=0.1), **fields)
    found = reserved(listed(lease), lease, NOW)
    assert found is None if usd is None else found is not None
    assert found is None or found.usd == pytest.approx(usd)


@pytest.mark.parametrize(
    ("fields", "usd"),
    [
        ({}, 0.1),
        (RUNNING, 1.1),
        (RUNNING | {"cold_s": 20.0}, 1.3),
        (RUNNING | {"started_at": None}, 0.1),
        (RUNNING | {"started_at": NOW + timedelta(seconds=5)}, 0.1),
        (RUNNING | {"phase": Phase.SPAWNED}, 0.1),
    ],
)
def test_a_lease_without_an_estimate_counts_what_it_cost_so_far(
    fields: dict[str, Any], usd: float
) -> None:
    found = reserved(listed(job(usd=None, spent=Spent(usd=0.1), **fields)), None, NOW)
    assert found is not None
    assert found.usd == pytest.approx(usd)


def test_jobs_that_wait_for_a_retry_do_not_wait_for_each_other_for_good() -> None:
    leases = [job(id, usd=0.2, phase=Phase.RETRY, error=OUTAGE) for id in ("one", "two")]
    for taken in (0, 1):
        total = ledger(total={"usd": 1.0})
        held = {each.id: found for each in leases if (found := reserved_by(each, NOW)) is not None}
        total.add_leases(held, ())
        total.add_ended([ended("a", 80)])
        answers = [total.take(each) for each in leases]
        assert answers.count(None) == taken
        leases = [job(each.id, usd=0.2, phase=Phase.RETRY, error=SHORT) for each in leases]


def test_a_lease_as_listed_counts_and_not_what_was_read_before() -> None:
    before = job(usd=0.5, tenant="zoo")
    assert reserved(listed(job(usd=0.2)), before, NOW) == Reserved(Payer("acme", "modal"), 0.2)
    assert reserved(listed(job(committed=True)), before, NOW) is None


def test_a_lease_that_has_changed_since_it_was_read_counts_as_one_that_runs() -> None:
    waiting = job(usd=0.2, phase=Phase.RETRY, error=SHORT)
    found = reserved(listed(None), waiting, NOW)
    assert found is not None
    assert found.usd == pytest.approx(0.2)
    assert reserved(listed(None), None, NOW) is None
