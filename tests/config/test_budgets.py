from datetime import date
from pathlib import Path

import pytest

from config.budgets import BATCH, NAME, OnExceeded, load_budgets
from config.errors import InvalidSetting
from pipeline.contract.keys import BATCH_PATTERN, NAME_PATTERN

TODAY = date(2026, 11, 3)


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "budgets.toml"
    path.write_text(text)
    return path


def test_nothing_is_bounded_as_it_comes() -> None:
    table = load_budgets()
    assert table.budgets == {}
    assert list(table.prefixes(TODAY)) == []


def test_a_row_says_whom_it_bounds_and_lets_jobs_wait(tmp_path: Path) -> None:
    table = load_budgets(written(tmp_path, '[budgets.acme]\ntenant = "acme"\nusd = 5\n'))
    row = table.budgets["acme"]
    assert (row.tenant, row.usd, row.on_exceeded) == ("acme", 5, OnExceeded.WAIT)
    assert list(table.prefixes(TODAY)) == [(TODAY, "acme")]


def test_a_row_for_all_lists_the_whole_day_once(tmp_path: Path) -> None:
    rows = '[budgets.a]\nusd = 5\n[budgets.b]\ntenant = "acme"\nusd = 1\n'
    assert list(load_budgets(written(tmp_path, rows)).prefixes(TODAY)) == [(TODAY, None)]


def test_a_batch_is_listed_from_its_first_day_on(tmp_path: Path) -> None:
    row = '[budgets.b]\ntenant = "acme"\nbatch = "autumn"\nsince = 2026-11-02\nusd = 1\n'
    days = list(load_budgets(written(tmp_path, row)).prefixes(TODAY))
    assert days == [(date(2026, 11, 2), "acme"), (TODAY, "acme")]


@pytest.mark.parametrize(
    "row",
    [
        "usd = 0",
        "usd = inf",
        "usd = nan",
        'usd = 1\nplatform = "modall"',
        'usd = 1\ntenant = "A b"',
        'usd = 1\non_exceeded = "stop"',
        'usd = 1\nbatch = "autumn"\ntenant = "acme"',
        'usd = 1\nbatch = "autumn"\nsince = 2026-11-01',
        'usd = 1\nbatch = "au_tumn"\ntenant = "acme"\nsince = 2026-11-01',
        'usd = 1\nbatch = "autumn"\ntenant = "acme"\nsince = 0026-11-01',
        "usd = 1\nper_day = true",
        'usd = 1\nalarm_url = "http://alarms.example.com/"',
        'usd = 1\nalarm_url = "https://me@alarms.example.com/"',
        'usd = 1\nalarm_url = "https://alarms.example.com:8443/"',
        'usd = 1\nalarm_url = "https://localhost/"',
    ],
)
def test_a_row_that_does_not_fit_is_named(tmp_path: Path, row: str) -> None:
    with pytest.raises(InvalidSetting, match=r"budgets\.toml"):
        load_budgets(written(tmp_path, f"[budgets.x]\n{row}\n"))


@pytest.mark.parametrize("name", ["a.b", '"a/b"', "Total", '"a b"'])
def test_a_budget_has_a_name_that_can_stand_in_a_key(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidSetting, match=r"budgets\.toml"):
        load_budgets(written(tmp_path, f"[budgets.{name}]\nusd = 1\n"))


@pytest.mark.parametrize(
    ("table", "hint"), [("tenants", "Known: budgets."), ("budget", "Did you mean budgets?")]
)
def test_a_table_that_is_none_is_named_with_the_one_that_there_is(
    tmp_path: Path, table: str, hint: str
) -> None:
    path = tmp_path / "budgets.toml"
    path.write_text(f"[{table}.acme]\nusd = 1\n")

    with pytest.raises(InvalidSetting) as raised:
        load_budgets(path)

    assert raised.value.hint == hint


def test_a_row_names_tenants_and_batches_as_manifests_do() -> None:
    assert (NAME, BATCH) == (NAME_PATTERN, BATCH_PATTERN)
