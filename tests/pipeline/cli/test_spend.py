from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pipeline.contract.keys import result_key
from pipeline.contract.result import JobCost
from pipeline.contract.spend_entry import BODY, SpendEntry
from pipeline.store.base import Always
from pipeline.store.conditional import SafeStore
from tests.pipeline.cli.conftest import Ryla
from tests.support.jobs import a_result


def test_the_sums_of_today_stand_against_the_budgets(
    ryla: Ryla, store: SafeStore, tmp_path: Path
) -> None:
    now = datetime.now(UTC)
    for id, usd, tenant in (("a", 0.25, "acme"), ("b", 0.5, "zoo")):
        cost = JobCost(usd=usd, total_usd=usd)
        result = a_result(id=id, tenant=tenant, cost=cost, finished_at=now, platform="modal")
        store.raw.put(SpendEntry.of(result).key, BODY, Always())
    budgets = tmp_path / "budgets.toml"
    budgets.write_text('[budgets.each]\ntenant = "*"\nusd = 1\n')

    told = ryla("spend", "--json", RYLA_BUDGETS_FILE=str(budgets)).document
    shown = ryla("spend", RYLA_BUDGETS_FILE=str(budgets)).out

    assert told["sums"]["total"] == [{"name": "all", "jobs": 2, "usd": 0.75}]
    assert [row["name"] for row in told["sums"]["tenant"]] == ["zoo", "acme"]
    assert [(row["tenant"], row["spent_usd"]) for row in told["budgets"]] == [
        ("acme", 0.25),
        ("zoo", 0.5),
    ]
    assert "each of acme" in shown
    assert "25%" in shown


def test_what_is_missing_is_written_again_from_the_results(ryla: Ryla, store: SafeStore) -> None:
    now = datetime.now(UTC)
    result = a_result(finished_at=now, cost=JobCost(usd=0.1, total_usd=0.1))
    store.raw.put(result_key("job"), result.body(), Always())
    day = now.date().isoformat()

    assert ryla("spend", "--json").document["sums"]["total"][0]["jobs"] == 0
    first = ryla("spend", "--day", day, "--rebuild", "--json").document
    again = ryla("spend", "--day", day, "--rebuild", "--json").document

    assert (first["written"], first["sums"]["total"][0]["usd"]) == (1, 0.1)
    assert again["written"] == 0


def test_since_a_day_all_is_written_again_and_then_spend_is_gone_by(
    ryla: Ryla, store: SafeStore
) -> None:
    now = datetime.now(UTC)
    for id, age in (("new", 0), ("old", 3)):
        result = a_result(id=id, finished_at=now - timedelta(days=age), cost=None)
        store.raw.put(result_key(id), result.body(), Always())
    store.raw.put(result_key("odd"), b"?", Always())
    day = (now - timedelta(days=2)).date().isoformat()

    listed = ryla("report", "--since", day)
    rebuilt = ryla("spend", "--rebuild", "--since", day, "--json").document
    read = ryla("report", "--since", day, "--json").document["read"]

    assert f"ryla spend --rebuild --since {day}" in listed.out
    assert (rebuilt["written"], rebuilt["unreadable_keys"]) == (1, [result_key("odd")])
    assert (read["results"], read["lists_jobs"], read["whole_since"]) == (1, False, day)
    shown = ryla("spend", "--rebuild", "--since", day).out
    assert "0 objects were missing\n1 results cannot be read, and have none: jobs/odd" in shown


@pytest.mark.parametrize("day", ["0001-01-01", "2019-12-31", "9999-12-31"])
@pytest.mark.parametrize("option", ["--day", "--since"])
def test_a_day_on_which_no_job_can_have_ended_is_wrong_usage(
    ryla: Ryla, option: str, day: str
) -> None:
    answer = ryla("spend", "--rebuild", option, day)
    assert answer.code == 2
    assert "2020-01-01" in answer.err


def test_since_goes_with_rebuild_alone(ryla: Ryla) -> None:
    for words in (
        ["--since", "2026-01-01"],
        ["--rebuild", "--day", "2026-01-01", "--since", "2026-01-01"],
    ):
        assert ryla("spend", *words).code == 2
