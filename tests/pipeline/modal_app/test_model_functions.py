from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from config.errors import InvalidInput, ModelGated, ModelNotFound
from pipeline.modal_app.model_functions import download, switch
from pipeline.models.hub import HuggingFace
from tests.support.model_hub import COMMIT, TOKEN, HubFile, ModelHub, model_hub

OWN = """
[weights.mine]
folder = "checkpoints"
file = "mine.safetensors"
family = "flux"
licence = "acme-1.0"
commercial_use = true

[sets.own]
unet = "mine"
"""


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "models.toml").write_text(OWN)
    monkeypatch.setenv("RYLA_MODELS_FILE", str(tmp_path / "models.toml"))
    monkeypatch.setenv("RYLA_MODELS_DIR", str(tmp_path / "models"))
    (tmp_path / "models" / "checkpoints").mkdir(parents=True)
    return tmp_path / "models"


def test_from_diff_to_activation_and_back(models: Path) -> None:
    (models / "checkpoints" / "mine.safetensors").write_bytes(b"weights")
    commits: list[None] = []
    assert not switch("diff", "own", 0, lambda: commits.append(None))["same"]
    assert switch("activate", "own", 0, lambda: commits.append(None))["version"] == 1
    assert switch("diff", "own", 0, lambda: commits.append(None))["same"]
    assert not switch("activate", "own", 0, lambda: commits.append(None))["changed"]
    assert [
        entry["version"] for entry in switch("history", "", 0, lambda: commits.append(None))
    ] == [1]
    assert len(commits) == 5
    structlog.reset_defaults()


def test_what_is_not_there_is_not_activated(models: Path) -> None:
    commits: list[None] = []
    with pytest.raises(ModelNotFound):
        switch("activate", "own", 0, lambda: commits.append(None))
    assert not commits
    structlog.reset_defaults()


def test_another_action_is_refused_with_those_that_there_are(models: Path) -> None:
    with pytest.raises(InvalidInput) as caught:
        switch("delete", "own", 0, lambda: None)
    assert "diff, activate, rollback, history" in str(caught.value.hint)
    structlog.reset_defaults()


TABLE = """
[weights.mine]
folder = "checkpoints"
file = "mine.safetensors"
family = "flux"
repository = "acme/mine"
path = "mine.safetensors"
licence = "acme-1.0"
commercial_use = true

[weights.other]
folder = "vae"
file = "other.safetensors"
family = "flux"
repository = "acme/other"
path = "other.safetensors"
licence = "acme-2.0"
commercial_use = true

[sets.pair]
unet = "mine"
vae = "other"
"""


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModelHub]:
    (tmp_path / "models.toml").write_text(TABLE)
    monkeypatch.setenv("RYLA_MODELS_FILE", str(tmp_path / "models.toml"))
    monkeypatch.setenv("RYLA_MODELS_DIR", str(tmp_path / "models"))
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    with model_hub() as hub:
        hub.files["acme/mine/mine.safetensors"] = HubFile(b"weights")
        hub.files["acme/other/other.safetensors"] = HubFile(b"more")
        yield hub
    structlog.reset_defaults()


def test_each_file_is_committed_as_soon_as_it_is_whole(hub: ModelHub, tmp_path: Path) -> None:
    seen: list[list[str]] = []

    def commit() -> None:
        files = (tmp_path / "models").rglob("*.safetensors")
        seen.append(sorted(path.name for path in files))

    done = download("pair", True, commit, HuggingFace(hub.url))
    assert len(seen) == 2, "a commit for each file"
    assert seen[0]
    assert seen[1] == ["mine.safetensors", "other.safetensors"]
    mine, other = sorted(done, key=lambda each: str(each["name"]))
    assert (mine["name"], other["name"]) == ("mine", "other")
    assert mine["sha256"] == hub.files["acme/mine/mine.safetensors"].sha256
    assert (mine["bytes"], mine["revision"]) == (7, COMMIT)


def test_licences_are_shown_and_must_be_accepted(
    hub: ModelHub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(InvalidInput, match=r"acme-1\.0 \(mine\), acme-2\.0 \(other\)"):
        download("pair", False, lambda: None, HuggingFace(hub.url))
    assert "--accept-licences" in capsys.readouterr().err
    assert not (tmp_path / "models").exists()


def test_what_is_there_is_not_downloaded_again(hub: ModelHub) -> None:
    source = HuggingFace(hub.url)
    download("pair", True, lambda: None, source)
    assert download("pair", False, lambda: None, source) == []


def test_a_closed_gate_is_told_before_anything_is_downloaded(hub: ModelHub) -> None:
    hub.files["acme/other/other.safetensors"].gated = True
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_TOKEN", "hf_of_nobody")
        with pytest.raises(ModelGated):
            download("pair", True, lambda: None, HuggingFace(hub.url))
    assert not hub.ranges
