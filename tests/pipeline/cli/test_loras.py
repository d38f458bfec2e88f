import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.store.conditional import SafeStore
from tests.handlers.loras.examples import SDXL
from tests.pipeline.cli.conftest import Ryla
from tests.pipeline.loras.support import flux_lora, z_image_lora
from tests.support.safetensors_files import safetensors

KEY = "loras/character-ann.safetensors"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "film.safetensors"
    path.write_bytes(flux_lora())
    return path


def keys(store: SafeStore) -> list[str]:
    return [entry.key for entry in store.list("loras/").entries]


def body(store: SafeStore, key: str) -> bytes:
    stored = store.get(key)
    assert stored is not None
    return stored.body


def test_a_lora_is_added_with_what_is_known_of_it(ryla: Ryla, store: SafeStore, file: Path) -> None:
    answer = ryla("loras", "add", file, "--id", "ann", "--trigger-word", "ohwx woman", "--json")

    assert (answer.code, answer.err) == (0, "")
    sha256 = hashlib.sha256(flux_lora()).hexdigest()
    told = answer.document
    assert (told["lora"], told["family"], told["fits"]) == (KEY, "flux", "flux-dev")
    assert (told["ranks"], told["layers"], told["alpha"]) == ([1], 1, 1.0)
    assert body(store, KEY) == flux_lora()
    assert json.loads(body(store, "loras/character-ann.json")) == {
        "trigger_word": "ohwx woman",
        "family": "flux",
        "sha256": sha256,
        "character": "ann",
    }


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ([], "loras/film.safetensors"),
        (["--name", "styles/noir"], "loras/styles/noir.safetensors"),
        (["--id", "ann", "--version", "job-7"], "loras/flux-character-ann/job-7.safetensors"),
    ],
)
def test_it_lies_where_it_was_wanted(
    ryla: Ryla, store: SafeStore, file: Path, options: list[str], key: str
) -> None:
    assert ryla("loras", "add", file, *options).code == 0
    assert key in keys(store)


def test_what_is_there_is_replaced_only_when_asked(
    ryla: Ryla, store: SafeStore, file: Path
) -> None:
    ryla("loras", "add", file, "--id", "ann")
    file.write_bytes(flux_lora(2))

    refused = ryla("loras", "add", file, "--id", "ann", "--json")
    assert (refused.code, refused.error["code"]) == (1, "invalid_input")
    assert body(store, KEY) == flux_lora()

    assert ryla("loras", "add", file, "--id", "ann", "--replace").code == 0
    assert body(store, KEY) == flux_lora(2)


@pytest.mark.parametrize(
    ("content", "options", "code"),
    [
        (b"PK\x03\x04", [], "lora_unreadable"),
        (safetensors(SDXL["kohya"].specs), [], "lora_mismatch"),
        (z_image_lora(), ["--base", "flux-dev"], "lora_mismatch"),
        (flux_lora(), ["--base", "flux-dvev"], "invalid_field"),
        (flux_lora(), ["--id", "../ann"], "invalid_field"),
    ],
)
def test_a_wrong_one_is_not_uploaded(
    ryla: Ryla, store: SafeStore, file: Path, content: bytes, options: list[str], code: str
) -> None:
    file.write_bytes(content)

    answer = ryla("loras", "add", file, *options, "--json")

    assert (answer.code, answer.error["code"]) == (1, code)
    assert keys(store) == []


def test_one_too_large_is_not_read(ryla: Ryla, store: SafeStore, file: Path) -> None:
    with file.open("r+b") as large:
        large.truncate(2 * 2**20)

    answer = ryla("loras", "add", file, "--json", RYLA_LORA_FILE_MIB="1")

    assert answer.error["message"].endswith("has 2,097,152 bytes, the limit is 1,048,576")
    assert keys(store) == []


def test_the_list_tells_name_family_and_trigger_word(
    ryla: Ryla, store: SafeStore, file: Path
) -> None:
    ryla("loras", "add", file, "--id", "ann", "--trigger-word", "ohwx")
    store.write("loras/odd.safetensors", flux_lora(), "application/octet-stream")
    store.write("loras/odd.json", b"[", "application/json")

    ann, odd = ryla("loras", "list", "--json").document["loras"]

    assert (ann["name"], ann["family"], ann["trigger_word"], ann["bytes"]) == (
        "character-ann.safetensors",
        "flux",
        "ohwx",
        len(flux_lora()),
    )
    assert odd["error"]["code"] == "lora_unreadable"
    shown = ryla("loras", "list").out
    assert "character-ann.safetensors" in shown
    assert "lora_unreadable" in shown


def test_one_is_shown_by_name_or_by_id(ryla: Ryla, store: SafeStore, file: Path) -> None:
    ryla("loras", "add", file, "--id", "ann", "--version", "job-1", "--trigger-word", "ohwx")

    by_id = ryla("loras", "show", "ann", "--id", "--json").document
    by_name = ryla("loras", "show", "flux-character-ann/job-1", "--json").document

    assert by_id == by_name
    assert (by_id["lora"], by_id["trigger_word"], by_id["habit"], by_id["fits"]) == (
        "loras/flux-character-ann/job-1.safetensors",
        "ohwx",
        "kohya",
        "flux-dev",
    )
    assert "ohwx" in ryla("loras", "show", "ann", "--id").out
    missing = ryla("loras", "show", "anne", "--id", "--json")
    assert (missing.code, missing.error["hint"]) == (1, "Did you mean ann?")


def test_a_file_is_checked_without_any_bucket(bare_ryla: Ryla, file: Path) -> None:
    answer = bare_ryla("loras", "check", file, "--json")

    assert (answer.code, answer.document["fits"]) == (0, "flux-dev")
    wrong = bare_ryla("loras", "check", file, "--base", "z-image-turbo", "--json")
    assert (wrong.code, wrong.document["fits"]) == (1, None)
    assert wrong.error["code"] == "lora_mismatch"


@pytest.mark.parametrize(
    ("sidecar", "code"), [({"family": "sdxl"}, "lora_mismatch"), ([], "lora_unreadable")]
)
def test_one_in_the_bucket_is_checked_as_a_jobs_is(
    ryla: Ryla, store: SafeStore, file: Path, sidecar: Any, code: str
) -> None:
    ryla("loras", "add", file, "--id", "ann")
    assert ryla("loras", "check", "ann", "--id").code == 0

    store.write("loras/character-ann.json", json.dumps(sidecar).encode(), "application/json")
    answer = ryla("loras", "check", "character-ann", "--json")

    assert (answer.code, answer.error["code"]) == (1, code)
    assert answer.document["fits"] is None


def test_one_is_removed_with_what_lies_beside_it(ryla: Ryla, store: SafeStore, file: Path) -> None:
    ryla("loras", "add", file, "--id", "ann")

    answer = ryla("loras", "remove", "character-ann", "--json")

    assert answer.document == {"removed": KEY}
    assert keys(store) == []
    assert ryla("loras", "remove", "character-ann", "--json").error["code"] == "lora_not_found"
    assert ryla("loras", "list", "--json").document == {"loras": []}


@pytest.mark.parametrize(
    "words",
    [["add"], ["add", "none.safetensors"], ["add", "film.safetensors", "--id", "a", "--name", "b"]],
)
def test_wrong_usage_is_told(ryla: Ryla, file: Path, words: list[str]) -> None:
    assert file.exists()
    assert ryla("loras", *words).code == 2


@pytest.mark.parametrize("name", ["add", "list", "show", "check", "remove"])
def test_each_explains_itself_with_an_example(bare_ryla: Ryla, name: str) -> None:
    said = bare_ryla("loras", name, "--help").out

    assert f"ryla loras {name}" in said.partition("Example")[2]
    assert "--json" in said


def test_a_lora_that_has_an_id_is_not_found_by_it_as_a_name_and_the_error_says_how(
    ryla: Ryla, file: Path
) -> None:
    ryla("loras", "add", file, "--id", "ann")

    assert "--id" in ryla("loras", "show", "ann", "--json").error["hint"]
    assert ryla("loras", "show", "ann", "--id").code == 0
