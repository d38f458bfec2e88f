from datetime import UTC, date, datetime, timedelta, timezone

import pytest

from pipeline.contract.keys import MAX_KEY
from pipeline.contract.result import JobCost
from pipeline.contract.spend_entry import SpendEntry, spend_prefix
from tests.support.jobs import a_result

DAY = date(2026, 1, 1)


def cost(usd: float) -> JobCost:
    return JobCost(usd=usd, total_usd=usd)


def test_a_result_says_all_that_the_key_holds() -> None:
    result = a_result(cost=cost(0.0125), platform="modal", batch="autumn")
    entry = SpendEntry.of(result)
    assert entry.key == "spend/2026-01-01/acme/modal.flux-dev.125.autumn.job"
    assert SpendEntry.parse(entry.key) == entry
    assert entry.usd == 0.0125
    assert entry.key.startswith(spend_prefix(DAY, "acme"))


@pytest.mark.parametrize(("usd", "units"), [(0.0, 0), (0.00001, 1), (0.0001, 1), (0.1 + 0.2, 3000)])
def test_a_cost_is_rounded_up_to_a_hundredth_of_a_cent(usd: float, units: int) -> None:
    assert SpendEntry.of(a_result(cost=cost(usd))).units == units


def test_what_can_stand_in_no_key_is_unknown() -> None:
    entry = SpendEntry.of(a_result(tenant="A/../B", model=None, batch="x.y", cost=None))
    assert entry.key == "spend/2026-01-01/-/-.-.0.-.job"
    assert SpendEntry.parse(entry.key) == entry


def test_the_longest_names_make_a_key_that_every_store_takes() -> None:
    name = "a" * 63
    result = a_result(
        id="z" * 96, tenant=name, model=name, platform=name, batch=name, cost=cost(1e9)
    )
    entry = SpendEntry.of(result)
    assert len(entry.key.encode()) <= MAX_KEY
    assert SpendEntry.parse(entry.key) == entry
    assert (entry.tenant, entry.kind, entry.batch) == (name, name, name)


@pytest.mark.parametrize("name", ["a.b", "a/b", "../x", "", "ü", "\ud800", "a\n", "a" * 1024])
def test_a_name_that_would_cut_the_key_elsewhere_is_unknown(name: str) -> None:
    entry = SpendEntry.of(a_result(tenant=name, model=name, platform=name, batch=name))
    assert SpendEntry.parse(entry.key) == entry
    assert (entry.tenant, entry.kind, entry.platform, entry.batch) == (None, None, None, None)


def test_a_cost_below_nothing_gives_nothing_back() -> None:
    assert SpendEntry.of(a_result(cost=cost(-1.0))).units == 0


def test_the_day_is_that_of_utc() -> None:
    late = datetime(2026, 1, 1, 23, 30, tzinfo=timezone(timedelta(hours=-2)))
    assert SpendEntry.of(a_result(finished_at=late)).day == date(2026, 1, 2)
    assert SpendEntry.of(a_result(finished_at=datetime(2026, 1, 1, tzinfo=UTC))).day == DAY


@pytest.mark.parametrize(
    "key",
    [
        "spend/",
        "spend/2026-01-01/acme/modal.flux-dev.x.-.job",
        "spend/2026-13-01/acme/modal.flux-dev.1.-.job",
        "spend/2026-01-01/acme/modal.flux-dev.1.-.JOB",
        "spend/2026-01-01/acme/modal.flux-dev.1.-.job.json",
        "spend/2026-01-01/acme/modal.flux-dev.-1.-.job",
        f"spend/2026-01-01/acme/modal.flux-dev.{'9' * 400}.-.job",
        "spend/2026-01-01/\x1b[31m/modal.flux-dev.1.-.job",
        "spend/2026-01-01/acme/modal.FLUX dev.1.-.job",
    ],
)
def test_a_stranger_s_object_is_none(key: str) -> None:
    assert SpendEntry.parse(key) is None
