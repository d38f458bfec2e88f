"""Every cell of the matrix, through the checks that stand before a GPU: nothing is rendered."""

import json
from functools import cache
from typing import Any, get_args

import pytest

from config.errors import BadManifest, RylaError
from config.models import load_models
from config.settings import Settings
from handlers.kinds import compatibility
from handlers.kinds.base import image_fields
from handlers.kinds.compatibility import FAMILIES, LORAS, ROWS, Adapter, Base, Cell
from handlers.kinds.registry import KINDS
from handlers.kinds.text_to_image import TextToImage
from handlers.loras.family import Family
from pipeline.contract.manifest import parse_manifest
from pipeline.inputs.supplies import InputChecker
from pipeline.runtime import RuntimeConfig, load_runtime
from tests.handlers.loras.examples import OTHERS, SDXL
from tests.pipeline.loras.support import Bucket, flux_lora, z_image_lora
from tests.support.portraits import portrait
from tests.support.safetensors_files import safetensors

LORA = "some.safetensors"
IMAGE = f"inputs/{'a' * 64}.png"
GRAPHS_OF_CALLERS = {"workflow"}
"""Kinds whose graph is the caller's: what goes together is the caller's matter."""
KINDS_OF_TABLE = sorted({row.kind for row in ROWS})
ALL = [cell for kind in KINDS_OF_TABLE for cell in compatibility.cells(kind)]


@cache
def lora_of(family: Family) -> bytes:
    whole = {Family.FLUX: flux_lora, Family.Z_IMAGE: z_image_lora}
    if family in whole:
        return whole[family]()
    examples = {Family.SDXL: SDXL["kohya"], Family.SD1: OTHERS["SD 1.5 of kohya"]}
    example = examples.get(family, OTHERS["Wan"])
    return safetensors(example.specs, example.metadata)


def name_of(cell: Cell) -> str:
    return f"{cell.kind}-{cell.base}-{cell.adapter}-{cell.lora}"


def asked(cell: Cell) -> bytes:
    """A manifest that asks for the cell, as far as it can be said."""
    own_base = compatibility.rows(cell.kind)[0].base
    sheet = cell.kind == "character-sheet"
    picture: dict[str, Any] = {"prompt": "a cat", "width": 256, "height": 256}
    fields: dict[str, Any] = {"name": "Ann"} if sheet else picture
    if cell.base is not own_base:
        fields["base"] = cell.base.value
    if cell.adapter is Adapter.INSTANTID:
        fields |= {"reference_images": [IMAGE]} if sheet else {"reference_image": IMAGE}
    if cell.lora is not None:
        fields["lora_name"] = LORA
    return json.dumps({"version": 1, "model": cell.kind, "input": fields}).encode()


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> RuntimeConfig:
    faces = tmp_path_factory.mktemp("faces")
    for pack in ("antelopev2", "auraface-v1"):
        (faces / pack).mkdir()
        (faces / pack / "any.onnx").touch()
    return load_runtime(Settings(faces_dir=faces), "local")


@cache
def bucket_with(adapter: Adapter | None, lora: Family | None) -> Bucket:
    """Nothing here writes to it."""
    bucket = Bucket()
    if adapter is Adapter.INSTANTID:
        bucket.upload(IMAGE, portrait({}, size=(64, 64)))
    if lora is not None:
        bucket.upload(f"loras/{LORA}", lora_of(lora))
    return bucket


def errors_of(cell: Cell, runtime: RuntimeConfig) -> list[RylaError]:
    """What the dispatcher says of a manifest before it claims a GPU for it."""
    bucket = bucket_with(cell.adapter, cell.lora)
    try:
        InputChecker(bucket.store, runtime).check(parse_manifest(asked(cell)))
    except BadManifest as error:
        return [error, *error.others]
    except RylaError as error:
        return [error]
    return []


def test_what_goes_together_is_let_through(runtime: RuntimeConfig) -> None:
    right = [cell for cell in ALL if cell.refusal is None]
    said = {name_of(cell): errors_of(cell, runtime) for cell in right}

    assert len(right) > 10
    assert {name: errors for name, errors in said.items() if errors} == {}


def test_what_does_not_go_together_is_refused_before_a_gpu(runtime: RuntimeConfig) -> None:
    wrong = [cell for cell in ALL if cell.refusal is not None]
    said = {cell: errors_of(cell, runtime) for cell in wrong}
    otherwise = {
        name_of(cell): errors
        for cell, errors in said.items()
        if cell.refusal not in {type(each) for each in errors}
    }

    assert len(wrong) > 100
    assert otherwise == {}
    assert [name_of(cell) for cell in wrong if not cell.why] == []


def test_the_matrix_has_every_kind_that_chooses_its_own_graph() -> None:
    assert set(KINDS_OF_TABLE) == set(KINDS) - GRAPHS_OF_CALLERS


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.kind} on {row.base}")
def test_a_row_says_what_its_kind_is(row: compatibility.Row) -> None:
    kind = KINDS[row.kind]
    fields = kind.input_model.model_fields

    assert row.takes_lora == ("lora_name" in fields)
    adapters = {each.adapter for each in compatibility.rows(row.kind)}
    assert (Adapter.INSTANTID in adapters) == bool([*image_fields(kind.input_model)])
    assert set(row.sets) <= set(load_models().sets)
    if isinstance(kind, TextToImage):
        assert kind.weight_set in row.sets


@pytest.mark.parametrize("kind", ["flux-instantid", "character-sheet"])
def test_the_bases_that_a_kind_offers_are_those_of_the_matrix(kind: str) -> None:
    offered = get_args(KINDS[kind].input_model.model_fields["base"].annotation)

    assert set(offered) == {row.base for row in compatibility.rows(kind)}


def test_every_base_has_a_family_whose_loras_fit_it() -> None:
    assert set(FAMILIES) == set(Base)
    assert set(FAMILIES.values()) < set(LORAS)
