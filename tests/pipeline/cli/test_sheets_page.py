import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from pipeline.contract.keys import THUMBS
from pipeline.reviews.review import Verdict, read_review
from pipeline.store.conditional import SafeStore
from tests.pipeline.cli.conftest import Ryla
from tests.support.batches import a_batch, keep_batch
from tests.support.pipeline_fixture import PipelineFixture
from tests.support.sheet_pipeline import Sheets
from tests.support.sheets import flat_picture, sheet_manifest

ANN, BOB = "autumn-002-ann", "autumn-003-bob"


@pytest.fixture
def sheets(store: SafeStore, tmp_path: Path) -> Iterator[Sheets]:
    """A batch of two on the real store. Of the second, `left` was refused for its likeness."""
    pipeline = PipelineFixture(raw=store.raw, tmp_path=tmp_path)
    sheets = Sheets(pipeline)
    keep_batch(store, a_batch("Ann", "Bob"))
    sheets.finish(sheet_manifest(["front", "left"], "sdxl", tenant="acme"), ANN)
    sheets.server.outcome = lambda name: [] if name.startswith("02-left") else None
    sheets.finish(sheet_manifest(["front", "left"], "sdxl", tenant="acme"), BOB)
    yield sheets
    pipeline.close()


def block(page: Path, id: str) -> Any:
    found = re.search(rf'id="{id}">(.*?)</script>', page.read_text("utf-8"))
    assert found is not None
    return json.loads(found[1])


def test_a_page_is_written_and_the_next_one_makes_no_thumbnail(
    ryla: Ryla, sheets: Sheets, tmp_path: Path, store: SafeStore
) -> None:
    out = tmp_path / "pages/autumn.html"
    first = ryla("sheets", "page", "autumn", "--out", out, "--json").document
    assert first["thumbnails_made"] == first["pictures"] == 4  # the best of the missing one too
    assert first["bytes"] == out.stat().st_size
    again = ryla("sheets", "page", "autumn", "--out", out, "--json").document
    assert (again["thumbnails_made"], again["without_picture"]) == (0, {})
    assert len(store.list(THUMBS).entries) == first["pictures"]
    told = block(out, "batch")["sheets"]
    assert [sheet["state"] for sheet in told] == ["succeeded", "partial"]
    assert [view["id"] for view in told[0]["views"]] == ["front", "left"]
    assert told[1]["views"][1]["fault"] == "no_face"
    shown = ryla("sheets", "page", "autumn").out
    assert shown.startswith("autumn.html  2 sheets")


def test_signed_links_open_the_pictures_in_full(ryla: Ryla, sheets: Sheets, tmp_path: Path) -> None:
    out = tmp_path / "autumn.html"
    assert ryla("sheets", "page", "autumn", "--out", out, "--links", "2").code == 0
    [front, _] = block(out, "pictures-0")
    assert httpx.get(front["link"]).content[:4] == flat_picture("x")[:4]
    assert ryla("sheets", "page", "autumn", "--links", "169").code == 2


def test_what_is_no_batch_and_where_nothing_can_be_written_is_said(
    ryla: Ryla, sheets: Sheets, tmp_path: Path
) -> None:
    assert ryla("sheets", "page", "winter", "--json").error["code"] == "unknown_batch"
    (tmp_path / "file").touch()
    refused = ryla("sheets", "page", "autumn", "--out", tmp_path / "file/a.html", "--json")
    assert refused.error["field"] == "--out"


def review_file(path: Path, reviews: Any, batch: str = "autumn") -> Path:
    path.write_text(json.dumps({"version": 1, "batch": batch, "reviews": reviews}))
    return path


def test_the_verdicts_of_a_page_are_applied_once(
    ryla: Ryla, sheets: Sheets, tmp_path: Path, store: SafeStore
) -> None:
    ryla("sheets", "review", ANN, "--keep", "front,left")
    file = review_file(
        tmp_path / "a.json",
        {
            ANN: {"front": {"verdict": "reject", "note": "six fingers"}, "left": None},
            BOB: {"front": {"verdict": "keep"}},
        },
    )
    answer = ryla("sheets", "review", "autumn", "--from", file, "--json")
    assert answer.code == 0
    ann, bob = answer.document["sheets"]
    assert (ann["rejected"], ann["cleared"], ann["replaced"]) == (
        ["front"],
        ["left"],
        ["front", "left"],
    )
    assert (bob["kept"], bob["replaced"]) == (["front"], [])
    review = read_review(store, ANN)
    assert review is not None
    assert {id: view.verdict for id, view in review.views.items()} == {"front": Verdict.REJECT}
    assert review.views["front"].note == "six fingers"

    assert ryla("sheets", "review", "autumn", "--from", file).code == 0
    assert read_review(store, ANN) == review
    assert "rejected" in ryla("sheets", "review", "autumn").out


def test_a_file_is_checked_as_a_whole_before_anything_is_said(
    ryla: Ryla, sheets: Sheets, tmp_path: Path, store: SafeStore
) -> None:
    file = review_file(
        tmp_path / "a.json",
        {
            ANN: {"front": {"verdict": "keep"}, "nothing": {"verdict": "keep"}},
            BOB: {"left": {"verdict": "keep"}},
            "winter-002-ann": {"front": {"verdict": "keep"}},
        },
    )
    answer = ryla("sheets", "review", "autumn", "--from", file, "--json")
    assert answer.code == 1
    errors = [json.loads(line)["error"] for line in answer.err.splitlines()]
    assert [error["field"] for error in errors] == [
        f"reviews.{ANN}.nothing",
        f"reviews.{BOB}.left",
        "reviews.winter-002-ann",
    ]
    assert "redo" in errors[1]["hint"]
    assert read_review(store, ANN) is None


def test_verdicts_come_from_a_file_or_from_the_command_line(
    ryla: Ryla, sheets: Sheets, tmp_path: Path
) -> None:
    file = review_file(tmp_path / "a.json", {})
    assert ryla("sheets", "review", "autumn", "--from", file, "--keep", "front").code == 2
    assert ryla("sheets", "review", ANN, "--from", file, "--json").error["code"] == "unknown_batch"
    of_another = review_file(tmp_path / "b.json", {}, "winter")
    answer = ryla("sheets", "review", "autumn", "--from", of_another, "--json")
    assert answer.error["field"] == "--from"
