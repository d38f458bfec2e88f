import re
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path

import pytest

from config.gpus import load_gpus
from config.routes import load_routes
from pipeline.contract.result import Metrics, Status
from pipeline.local.demo.checks import Check, check_run
from pipeline.local.demo.demo import DemoRun
from pipeline.local.demo.report import (
    PARTS,
    Report,
    balanced,
    make_report,
    seconds_by_part,
    write_report,
)

pytestmark = pytest.mark.xdist_group("demo")


class Page(HTMLParser):
    """What a page refers to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.linked: list[str] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.loaded += [given[name] or "" for name in ("src", "srcset", "poster") if name in given]
        if "href" in given:
            (self.linked if tag == "a" else self.loaded).append(given["href"] or "")
        if tag not in ("meta", "link", "img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def report(demo_run: DemoRun) -> Report:
    gpus = load_gpus(None)
    routes = load_routes(None, gpus=gpus)
    return make_report(demo_run, check_run(demo_run), gpus, routes, datetime.now(UTC))


@pytest.fixture(scope="module")
def page(report: Report) -> str:
    return write_report(report).read_text()


def test_the_page_loads_nothing_from_outside_itself(page: str) -> None:
    assert all(address.startswith("data:") for address in Page(page).loaded)
    assert not re.search(r"url\(|@import|https?://", page)


def test_every_link_leads_to_a_file_beside_the_page(page: str, demo_run: DemoRun) -> None:
    linked = Page(page).linked

    assert len(linked) > len(demo_run.examples)
    assert [
        each for each in linked if not each.startswith("#") and not (demo_run.out / each).exists()
    ] == []


def test_every_tag_is_closed(page: str) -> None:
    assert Page(page).open == []


def test_all_pictures_are_in_it(page: str, report: Report) -> None:
    made = [each for each in report.run.examples if each.expected is Status.SUCCEEDED]
    single = sum(example.pictures for example in made if example.sheet is None)

    assert report.picture_count == sum(example.pictures for example in made)
    of_faces = sum(2 if row.composition else 1 for row in report.faces)
    of_sheets = sum(1 + len(row.tries) for row in report.sheets)
    assert page.count("data:image/jpeg;base64,") == single + of_faces + of_sheets
    assert sorted(p.number for row in report.rows for p in row) == list(range(1, single + 1))


def test_each_sheet_is_shown_whole_with_what_is_said_of_it(page: str, report: Report) -> None:
    sheets = [each for each in report.run.examples if each.model == "character-sheet"]
    assert {row.id for row in report.sheets} == {each.id for each in sheets}
    for row in report.sheets:
        assert row.set_words in page
        assert f'href="{row.document}"' in page
        assert f'href="{row.contact_sheet}"' in page


def test_the_refused_job_stands_there_with_reason_and_hint(page: str) -> None:
    assert "unknown_field" in page
    assert "Did you mean &#39;width&#39;?" in page
    assert "<mark>&#34;widht&#34;</mark>" in page


def test_it_says_that_no_model_made_the_pictures(page: str, report: Report) -> None:
    assert report.engine == "standin"
    assert "No model made these pictures" in page


def test_cost_is_nothing_and_the_estimate_names_its_gpu(report: Report) -> None:
    ran = [job for job in report.jobs if job.seconds is not None]

    assert {job.cost_usd for job in ran} == {0.0}
    known = [job for job in ran if job.example.model != "workflow"]
    assert all(job.estimate_usd and job.estimate_usd > 0 for job in known)
    assert {job.estimate_on for job in ran} == {"A10", "L40S"}
    again = {job.example.model for job in known if job.estimate_most_usd is not None}
    assert "character-sheet" in again
    assert "flux-dev" not in again


def test_a_fault_is_told_at_the_top_and_at_its_check(report: Report, tmp_path: Path) -> None:
    run = replace(report.run, out=tmp_path, results={})
    broken = replace(report, run=run, jobs=[], checks=[Check("it <holds>", ["it does not"])])

    page = write_report(broken).read_text()

    assert "Not everything ended as it should" in page
    assert "It &lt;holds&gt;." in page
    assert "it does not" in page


def test_the_document_tells_the_same_to_programs(report: Report) -> None:
    said = report.document()

    assert said["ok"] is True
    assert {job["id"]: job["status"] for job in said["jobs"]}["misspelt-field"] == "rejected"
    assert said["events"] == sum(len(result.events) for result in report.run.results.values())


def test_what_no_part_accounts_for_lies_between_them() -> None:
    none = {part: 0.0 for part in PARTS if part != "between"}
    measured = none | {"claim": 3.0, "sampling": 1.0, "upload": 0.5, "total": 1.75}
    metrics = Metrics.model_validate(measured | {"gpu": "none", "gpu_seconds": 0.0, "cold": False})

    parts = seconds_by_part(metrics)

    assert parts["between"] == pytest.approx(0.25)
    assert sum(parts.values()) == pytest.approx(4.75)


@pytest.mark.parametrize(
    ("weights", "rows", "cuts"),
    [
        ([1, 1, 1, 1], 2, [0, 2, 4]),
        ([3, 1, 1, 1], 2, [0, 1, 4]),
        ([1], 5, [0, 1]),
        ([], 1, [0, 0]),
    ],
)
def test_rows_are_cut_so_that_the_heaviest_is_light(
    weights: list[float], rows: int, cuts: list[int]
) -> None:
    assert balanced(weights, rows) == cuts
