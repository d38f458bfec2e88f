import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from config.models import load_models
from tests.pipeline.cli.conftest import MODELS_TABLE, Ryla
from tests.support.model_hub import COMMIT, HubFile, ModelHub, model_hub
from tests.support.safetensors_files import Spec, safetensors

BODY = os.urandom(200_000)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModelHub]:
    monkeypatch.delenv("HF_TOKEN", raising=False)
    with model_hub() as hub:
        hub.files["acme/tiny/tiny.safetensors"] = HubFile(BODY)
        # Read once, when the hub's client was imported.
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", hub.url)
        monkeypatch.setattr(
            "huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE",
            hub.url + "/{repo_id}/resolve/{revision}/{filename}",
        )
        yield hub


def test_a_pull_shows_the_licence_and_waits_for_its_acceptance(
    models: Ryla, hub: ModelHub, tmp_path: Path
) -> None:
    answer = models("pull", "tiny")

    assert answer.code == 1
    assert "acme-research, not for commercial use: tiny.safetensors" in answer.err
    assert "not on Sundays" in answer.err
    assert "--accept-licences" in answer.err
    assert hub.ranges == []


def test_a_pull_stores_the_file_and_what_was_learned_of_it(
    models: Ryla, hub: ModelHub, tmp_path: Path
) -> None:
    answer = models("pull", "tiny", "--accept-licences", "--json")

    assert answer.code == 0, answer.err
    assert (tmp_path / "models/checkpoints/tiny.safetensors").read_bytes() == BODY
    learned = load_models(tmp_path / "models.toml").weights_by_name["tiny"]
    assert (learned.bytes, learned.revision, learned.verified) == (len(BODY), COMMIT, True)
    assert learned.sha256 == answer.document[0]["sha256"]
    assert 'terms = "not on Sundays"' in (tmp_path / "models.toml").read_text()
    assert "Nothing to pull" in models("pull", "tiny").out


def test_a_gated_model_names_the_page(models: Ryla, hub: ModelHub) -> None:
    hub.files["acme/tiny/tiny.safetensors"].gated = True

    answer = models("pull", "tiny", "--accept-licences", "--json")

    assert answer.code == 1
    assert answer.error["code"] == "model_gated"
    assert "https://huggingface.co/acme/tiny" in answer.error["hint"]


def test_verify_fills_in_what_the_table_lacks(models: Ryla, hub: ModelHub, tmp_path: Path) -> None:
    missing = models("verify", "tiny", "--json")
    (tmp_path / "models/checkpoints").mkdir(parents=True)
    (tmp_path / "models/checkpoints/tiny.safetensors").write_bytes(BODY)
    found = models("verify", "tiny")

    assert missing.code == 1
    assert missing.document[0]["learned"]["revision"] == COMMIT
    assert found.code == 0, found.err
    assert "Written into" in found.out
    assert load_models(tmp_path / "models.toml").weights_by_name["tiny"].verified


def test_verify_finds_a_wrong_file(models: Ryla, hub: ModelHub, tmp_path: Path) -> None:
    models("pull", "tiny", "--accept-licences")
    (tmp_path / "models/checkpoints/tiny.safetensors").write_bytes(BODY[::-1])

    answer = models("verify", "tiny", "--offline")

    assert answer.code == 1
    assert "wrong" in answer.out
    assert "its sha256 is" in answer.out


def test_an_own_checkpoint_is_registered(models: Ryla, tmp_path: Path) -> None:
    own = tmp_path / "own.safetensors"
    own.write_bytes(safetensors({"double_blocks.0.img_attn.qkv.weight": Spec((12, 4))}))

    answer = models("add", own, "--as", "flux-dev-uncensored", "--json")

    assert answer.code == 0, answer.err
    table = load_models(tmp_path / "models.toml")
    assert table.weights("flux-dev-uncensored")["unet"].sha256 == answer.document["sha256"]
    assert "tiny" in table.sets


def test_an_own_checkpoint_needs_a_file_to_be_registered_in(models: Ryla, tmp_path: Path) -> None:
    own = tmp_path / "own.safetensors"
    own.write_bytes(b"anything")

    answer = models("add", own, "--as", "flux-dev-uncensored", "--json", RYLA_MODELS_FILE="")

    assert answer.code == 1
    assert answer.error["field"] == "RYLA_MODELS_FILE"


def test_a_models_folder_must_be_named(models: Ryla) -> None:
    answer = models("verify", "tiny", "--json", RYLA_MODELS_DIR="")

    assert answer.code == 1
    assert answer.error["field"] == "RYLA_MODELS_DIR"


def test_a_new_revision_is_pulled_beside_the_one_in_use(
    models: Ryla, hub: ModelHub, tmp_path: Path
) -> None:
    table, folder = tmp_path / "models.toml", tmp_path / "models/checkpoints"

    def say(revision: str) -> None:
        table.write_text(MODELS_TABLE.replace("\n\n", f'\nrevision = "{revision}"\n\n'))

    say("1" * 40)
    folder.mkdir(parents=True)
    (folder / "tiny.safetensors").write_bytes(b"the old one")
    models("activate", "tiny")
    say(COMMIT)

    answer = models("pull", "tiny", "--accept-licences", "--json")

    assert answer.code == 0, answer.err
    new = folder / COMMIT[:12] / "tiny.safetensors"
    assert answer.document[0]["path"] == str(new)
    assert (folder / "tiny.safetensors").read_bytes() == b"the old one"
    assert new.read_bytes() == BODY
    assert "Nothing to pull" in models("pull", "tiny").out
    assert models("activate", "tiny", "--json").document["changed"]
    assert models("rollback", "--json").document["back_to"] == 1
