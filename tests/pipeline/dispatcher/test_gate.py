from datetime import timedelta

import pytest

from config.budgets import BudgetTable
from config.errors import BudgetSpent
from pipeline.contract.keys import parse_inbox_key
from pipeline.contract.lease import Lease
from pipeline.contract.spend_entry import SpendEntry
from pipeline.contract.stops import Stops
from pipeline.dispatcher.gate import Gate
from pipeline.queue.admission import Waiting
from pipeline.queue.budgets import Ledger
from tests.support.jobs import ENTRY, NOW, a_lease, entry

ACME = Stops.of_keys(["stops/tenant.acme"])
JOB = Waiting(parse_inbox_key(ENTRY), entry(ENTRY))
OTHER = Waiting(parse_inbox_key(ENTRY.replace("acme", "zoo")), entry(ENTRY))


def bounded(cents: int, **row: object) -> Gate:
    """A budget of a dollar, of which so much is spent."""
    table = BudgetTable.model_validate({"budgets": {"total": {"usd": 1.0, **row}}})
    ledger = Ledger(table, NOW.date(), "local")
    ledger.add_ended([SpendEntry(NOW.date(), "old", cents * 100, tenant="acme")])
    return Gate(ledger=ledger)


def waiting(**fields: object) -> Lease:
    return a_lease(estimate_usd=0.2, **fields)


def test_a_job_passes_where_nothing_is_stopped_or_bounded() -> None:
    gate = Gate()
    assert gate.why_waits(a_lease()) is None
    assert not gate.holds_waiting(JOB)
    assert not gate.holds_retry(waiting(), NOW)


def test_a_job_under_a_stop_waits_and_is_told_which() -> None:
    gate = Gate(ACME)
    why = gate.why_waits(a_lease(tenant="acme"))
    assert why is not None
    assert why.value == "stops/tenant.acme"
    assert gate.why_waits(a_lease(tenant="zoo")) is None
    assert gate.holds_waiting(JOB)
    assert not gate.holds_waiting(OTHER)
    assert gate.holds_retry(waiting(), NOW)
    assert not gate.holds_retry(waiting(tenant="zoo"), NOW)


@pytest.mark.parametrize(("left_s", "held"), [(1, True), (0, False), (-1, False)])
def test_one_that_waits_is_let_through_at_its_deadline_to_end(left_s: int, held: bool) -> None:
    lease = waiting(deadline=NOW + timedelta(seconds=left_s))
    assert Gate(ACME).holds_retry(lease, NOW) == held


@pytest.mark.parametrize(
    ("cents", "inbox", "retry"), [(70, False, False), (90, False, True), (100, True, True)]
)
def test_a_budget_without_room_holds_jobs_up(cents: int, inbox: bool, retry: bool) -> None:
    gate = bounded(cents)
    assert gate.holds_waiting(JOB) == inbox
    assert gate.holds_retry(waiting(), NOW) == retry
    assert (gate.why_waits(waiting()) is not None) == retry


def test_a_budget_that_refuses_holds_nothing_up() -> None:
    gate = bounded(100, on_exceeded="refuse")
    assert not gate.holds_waiting(JOB)
    assert not gate.holds_retry(waiting(), NOW)
    with pytest.raises(BudgetSpent):
        gate.why_waits(waiting())


def test_a_job_that_is_left_to_others_is_not_taken_over_and_ends_at_its_deadline() -> None:
    gate = Gate(is_left_to_others=lambda lease, _: lease.tenant == "acme")
    assert gate.holds_retry(waiting(tenant="acme"), NOW)
    assert not gate.holds_retry(waiting(tenant="zoo"), NOW)
    assert not gate.holds_retry(waiting(tenant="acme", deadline=NOW), NOW)
