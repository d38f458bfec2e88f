from pathlib import Path

import pytest

from tests.pipeline.cli.conftest import Ryla
from tests.pipeline.models.test_activation import Deployment


@pytest.fixture
def deployment(tmp_path: Path) -> Deployment:
    return Deployment(tmp_path)


@pytest.fixture
def models(bare_ryla: Ryla, deployment: Deployment) -> Ryla:
    settings = {
        "RYLA_MODELS_FILE": str(deployment.table),
        "RYLA_MODELS_DIR": str(deployment.folder),
    }
    return lambda *words, **environ: bare_ryla("models", *words, **{**settings, **environ})


def test_a_set_is_updated_and_taken_back(models: Ryla, deployment: Deployment) -> None:
    deployment.pull()
    first = models("activate", "tiny", "--json").document
    assert (first["changed"], first["version"], first["action"]) == (True, 1, "activate")

    deployment.say("2", licence="acme-2")
    difference = models("diff", "tiny", "--json").document
    [change] = difference["changes"]
    assert (difference["in_use"], difference["same"], difference["to_download"]) == (1, False, 3)
    assert (change["set"], change["role"], change["here"]) == ("tiny", "checkpoint", "missing")
    assert (change["before"]["licence"], change["after"]["licence"]) == ("acme", "acme-2")
    assert change["after"]["file"] == "checkpoints/222222222222/tiny.safetensors"

    refused = models("activate", "tiny", "--json")
    assert (refused.code, refused.error["code"]) == (1, "model_not_found")
    assert "ryla models pull" in refused.error["hint"]

    deployment.pull()
    second = models("activate", "tiny", "--json").document
    back = models("rollback", "--json").document
    assert (back["version"], back["action"], back["back_to"]) == (3, "rollback", 1)
    assert back["sets"] == first["sets"] != second["sets"]
    assert deployment.content() == b"111"


def test_people_are_told_in_words(models: Ryla, deployment: Deployment) -> None:
    deployment.pull()
    assert "models.toml itself is in use" in models("diff", "tiny").out
    assert "Version 1 is in use" in models("activate", "tiny").out
    assert "Nothing to change" in models("activate", "tiny").out
    assert "Nothing would change" in models("diff", "tiny").out
    deployment.update("2")

    said = models("diff", "tiny", "--with", "1").out
    assert "→ 111111111111" in said
    assert "To download: 0 bytes" in said
    assert "what version 1 was" in models("rollback").out
    listed = models("history").out
    assert [line in listed for line in ("activate", "rollback to 1", "tiny")] == [True] * 3
    entries = models("history", "--json").document
    assert [entry["version"] for entry in entries] == [1, 2, 3]


def test_a_version_that_is_not_there_is_wrong_usage(models: Ryla, deployment: Deployment) -> None:
    answer = models("diff", "tiny", "--with", "7")

    assert answer.code == 2
    assert "there is no version 7" in answer.err
    assert models("rollback", "--json").error["code"] == "model_error"
