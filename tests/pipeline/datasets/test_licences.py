from collections.abc import Mapping
from typing import Any

import pytest

from config.models import ModelTable
from pipeline.contract.result import Provenance
from pipeline.datasets.licences import UsedWeight, commercial_use, used_weights
from tests.support.datasets import MODELS

SDXL = {"sd_xl_base_1.0.safetensors": None, "ip-adapter.bin": None}


def weights(
    files: Mapping[str, str | None],
    table: ModelTable = MODELS,
    *,
    instantid: bool = False,
    **given: Any,
) -> tuple[UsedWeight, ...]:
    fields = {"engine": "comfyui", "app_version": "1", "models": files, **given}
    return used_weights(Provenance.model_validate(fields), table, instantid=instantid)


def test_pictures_may_be_sold_where_every_licence_says_so() -> None:
    assert commercial_use(weights(SDXL)) is True


def test_one_licence_that_forbids_it_forbids_it() -> None:
    used = weights({**SDXL, "flux1-dev.safetensors": None, "unknown.bin": None})
    assert commercial_use(used) is False


def test_the_face_pack_that_instantid_looks_with_counts_though_no_graph_names_it() -> None:
    used = weights(SDXL, instantid=True)
    assert "models/antelopev2/glintr100.onnx" in {one.file for one in used}
    assert commercial_use(used) is False


def test_a_file_that_the_table_does_not_know_makes_it_unknown() -> None:
    assert commercial_use(weights({**SDXL, "unknown.bin": None})) is None


def test_other_bytes_by_a_known_name_are_another_file() -> None:
    [one] = weights({"sd_xl_base_1.0.safetensors": "0" * 64})
    assert (one.licence, one.commercial_use) == (None, None)


def test_a_lora_makes_it_unknown_since_nobody_stated_its_licence() -> None:
    lora = {"key": "loras/a.safetensors", "sha256": "0" * 64}
    used = weights(SDXL, lora=lora)
    assert "loras/a.safetensors" in {one.file for one in used}
    assert commercial_use(used) is None


def test_an_agreement_of_the_operators_allows_it() -> None:
    row = MODELS.weights_by_name["flux1-dev"].model_copy(update={"licence_note": "deal 7"})
    table = MODELS.model_copy(
        update={"weights_by_name": {**MODELS.weights_by_name, "flux1-dev": row}}
    )
    [one] = weights({"flux1-dev.safetensors": None}, table)
    assert (one.commercial_use, one.terms) == (True, "agreement: deal 7")


def test_the_stand_in_has_no_weights_and_says_nothing_of_selling() -> None:
    used = weights({}, instantid=True, engine="standin")
    assert used == ()
    assert commercial_use(used) is None


@pytest.mark.parametrize(
    ("said", "whole"),
    [((True, True), True), ((True, None), None), ((None, False), False), ((), None)],
)
def test_no_outweighs_unknown_and_unknown_outweighs_yes(
    said: tuple[bool | None, ...], whole: bool | None
) -> None:
    assert commercial_use(UsedWeight("f", None, "l", None, each) for each in said) is whole
