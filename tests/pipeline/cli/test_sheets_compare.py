import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from pipeline.store.base import Always
from pipeline.store.conditional import SafeStore
from tests.pipeline.cli.conftest import Ryla
from tests.pipeline.loras.support import flux_lora
from tests.support.pipeline_fixture import PipelineFixture
from tests.support.sheet_pipeline import Sheets
from tests.support.sheets import HEADS, face, sheet_manifest

COMPARE = ("sheets", "compare", "sheet", "--lora", "ann")
BEFORE, AFTER = 0.95, 0.6


@pytest.fixture
def sheets(store: SafeStore, tmp_path: Path) -> Iterator[Sheets]:
    """A sheet by references that has ended, and a LoRA; both on the real store."""
    pipeline = PipelineFixture(raw=store.raw, tmp_path=tmp_path)
    sheets = Sheets(pipeline)
    views = ["front", "left", "right", "back"]
    sheets.finish(sheet_manifest(views, "sdxl", tenant="acme"))
    store.raw.put("loras/character-ann.safetensors", flux_lora(), Always())
    store.raw.put("loras/character-ann.json", b'{"trigger_word": "ohwx"}', Always())
    sheets.server.outcome = after
    sheets.server.drawing.drawn.clear()
    yield sheets
    pipeline.close()


def after(name: str) -> Any:
    """Faces of the LoRA are less alike, and one view is never made."""
    id = name.partition("-")[2].partition(".")[0]
    if id == "back":
        return None
    return [] if id == "right" else [face(HEADS[id], AFTER)]


def test_the_same_views_with_the_lora_are_set_beside_the_sheet(
    ryla: Ryla, sheets: Sheets, tmp_path: Path
) -> None:
    sent = ryla(*COMPARE, "--json").document
    assert (sent["id"], sent["sent"]) == ("sheet-c1", "submitted")
    assert ryla(*COMPARE, "--json").document["sent"] == "already_there"
    sheets.tick()
    assert "01-front.c1" in sheets.server.steps

    (tmp_path / "file").touch()
    refused = ryla(*COMPARE, "--out", tmp_path / "file" / "x.png", "--json")
    assert (refused.code, refused.error["field"]) == (1, "--out")
    out = tmp_path / "compared.png"
    found = ryla(*COMPARE, "--out", out, "--json").document
    alike = BEFORE * AFTER + math.sqrt((1 - BEFORE**2) * (1 - AFTER**2))
    front, _, right, back = found["views"]
    assert front["before"]["similarity"] == pytest.approx(1.0)
    assert front["after"]["similarity"] == pytest.approx(alike)
    assert front["after"]["match"] == pytest.approx(alike)
    assert front["before"]["seed"] == front["after"]["seed"]
    assert (right["after"]["missing"], right["after"]["similarity"]) == ("no_face", None)
    assert (back["before"]["reason"], back["before"]["similarity"]) == ("back", None)
    assert found["mean"]["similarity"] == {
        "before": pytest.approx(1.0),
        "after": pytest.approx(alike),
    }
    said = " ".join(found["differences"])
    assert "sdxl before, flux-dev after" in said
    assert "InstantID by the references before" in said
    assert "'ohwx' after" in said
    assert found["set"]["before"]["made"] == 4
    assert found["set"]["after"]["made"] == 3
    with Image.open(out) as picture:
        assert picture.format == "PNG"
        assert picture.height > 4 * 300

    lines = ryla(*COMPARE).out.splitlines()
    assert lines[1].split()[:8] == [
        "01-front",
        "1.00,",
        "match",
        "1.00",
        *f"{alike:.2f}, match {alike:.2f} {alike - 1:+.2f}".split(),
    ]
    assert any(line.startswith("mean") and "3 of 4 made" in line for line in lines)
    assert any(line.startswith("after: not trainable") for line in lines)


def test_a_comparison_that_failed_and_a_lora_that_is_not_there_are_told(
    ryla: Ryla, sheets: Sheets
) -> None:
    nobody = ryla("sheets", "compare", "sheet", "--lora", "bob", "--json")
    assert nobody.error["code"] == "lora_not_found"
    assert not sheets.pipeline.keys("inbox/")
    ryla(*COMPARE)
    ryla("cancel", "sheet-c1")
    failed = ryla(*COMPARE, "--json")
    assert failed.code == 1
    assert "sheet-c1" in failed.error["hint"]


def test_a_job_that_its_budget_does_not_pay_for_is_not_sent(ryla: Ryla, sheets: Sheets) -> None:
    few = {"steps": 2}
    cheap = sheet_manifest(["front"], "sdxl", tenant="acme", max_cost_usd=0.001, input=few)
    sheets.server.outcome = lambda name: None
    sheets.finish(cheap, "cheap")
    asked = ("sheets", "compare", "cheap", "--lora", "ann", "--json")
    refused = ryla(*asked)
    assert (refused.code, refused.error["code"]) == (1, "over_budget")
    assert not sheets.pipeline.keys("inbox/")
    assert ryla(*asked, "--max-cost-usd", 1).document["id"] == "cheap-c1"
