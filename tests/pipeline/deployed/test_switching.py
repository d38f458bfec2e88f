from pathlib import Path

import pytest
import structlog

from config.errors import InvalidInput, ModelNotFound
from pipeline.deployed.switching import switch

TABLE = """
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
    (tmp_path / "models.toml").write_text(TABLE)
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
