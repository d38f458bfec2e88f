from pathlib import Path

import pytest

from config.settings import Settings
from pipeline.deployed.version import app_version, digest


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in (
        "comfyui_ryla.py",
        "config/routes.toml",
        "pipeline/worker/worker.py",
        "pipeline/cli/a.py",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    (tmp_path / "requirements").mkdir()
    (tmp_path / "requirements/gpu.txt").write_text("torch==1\n")
    return tmp_path


@pytest.mark.parametrize(
    "name",
    ["comfyui_ryla.py", "config/routes.toml", "pipeline/worker/worker.py", "requirements/gpu.txt"],
)
def test_another_file_is_another_version(root: Path, name: str) -> None:
    before = digest(root, Settings())
    (root / name).write_text("changed")
    assert digest(root, Settings()) != before


def test_a_file_that_moves_is_another_version(root: Path) -> None:
    before = digest(root, Settings())
    (root / "pipeline/worker/worker.py").rename(root / "pipeline/workers.py")
    assert digest(root, Settings()) != before


def test_what_is_not_shipped_does_not_count(root: Path) -> None:
    before = digest(root, Settings())
    (root / "pipeline/cli/a.py").write_text("changed")
    assert digest(root, Settings()) == before


def test_a_table_of_the_operators_counts_by_its_content(root: Path, tmp_path: Path) -> None:
    one, same = tmp_path / "one.toml", tmp_path / "same.toml"
    one.write_text("[routes]\n")
    same.write_text("[routes]\n")
    plain = digest(root, Settings())
    assert digest(root, Settings(routes_file=one)) == digest(root, Settings(routes_file=same))
    assert digest(root, Settings(routes_file=one)) != plain


def test_the_version_is_the_packages_with_a_digest(root: Path) -> None:
    settings = Settings(app_version="1.2.3")
    assert app_version(root, settings, {}) == f"1.2.3+{digest(root, settings)[:12]}"


def test_a_container_takes_what_was_deployed(tmp_path: Path) -> None:
    deployed = {"RYLA_APP_VERSION": "1.2.3+0123456789ab"}
    assert app_version(tmp_path, Settings(), deployed) == "1.2.3+0123456789ab"
