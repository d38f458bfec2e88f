import re
import shutil
import subprocess
import sys
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path, PurePosixPath

import pytest

from config.settings import Settings
from pipeline.modal_app.container_files import (
    APP_FILE,
    CHECKED,
    app_version,
    digest,
    is_shipped,
    overlays,
    shipped_files,
)
from pipeline.modal_app.resources import TABLES

ROOT = Path(__file__).parents[3]
IN_CONTAINERS = {
    "service": ("api", "dispatch", "model_functions"),
    "gpu": ("modal_worker",),
}
"""Requirements → modules of pipeline.modal_app that run with them."""
IMPORTING = """
import importlib, os, sys
from importlib.metadata import packages_distributions
from pathlib import Path
# As in a container: nothing but what is in this folder, and packages that pip has installed.
sys.meta_path = [each for each in sys.meta_path if "__editable__" not in str(each)]
sys.path = [os.getcwd(), *(path for path in sys.path if "site-packages" in path or "lib" in path)]
for name in sys.argv[1:]:
    module = importlib.import_module(name)
    assert Path(module.__file__).is_relative_to(os.getcwd()), module.__file__
known = packages_distributions()
tops = {each.partition(".")[0] for each in sys.modules}
print(*{name for top in tops for name in known.get(top, ())})
"""


def copied(into: Path, folders: tuple[str, ...] | None = None) -> Path:
    """What a container gets, or of that what lies in some folders."""
    for path in shipped_files(ROOT):
        name = path.relative_to(ROOT)
        if folders is None or any(name.is_relative_to(folder) for folder in folders):
            (into / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, into / name)
    return into


def imports(folder: Path, *modules: str) -> set[str]:
    """The distributions that were used."""
    command = [sys.executable, "-c", IMPORTING, *modules]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return {canonical(name) for name in done.stdout.split()}


def canonical(name: str) -> str:
    return re.sub("[-_.]+", "-", name).lower()


def the_platforms_own() -> set[str]:
    """Modal's client and what it asks for: there in every container."""
    found, open_ = set[str](), ["modal"]
    while open_:
        name = canonical(open_.pop())
        if name not in found:
            found.add(name)
            with suppress(PackageNotFoundError):  # what this Python does without
                wanted = [each for each in requires(name) or () if "extra ==" not in each]
                open_ += [re.split("[^A-Za-z0-9._-]", each)[0] for each in wanted]
    return found


@pytest.mark.parametrize(
    "path",
    [
        "config/routes.toml",
        "workflows/node_interfaces.json",
        "pipeline/worker/worker.py",
        "events/x/y.py",
        "pipeline/api/docs_page.html.j2",
        "pipeline/pages/page.css",
    ],
)
def test_code_tables_and_templates_are_shipped(path: str) -> None:
    assert is_shipped(PurePosixPath(path))


@pytest.mark.parametrize(
    "path",
    [
        "tests/pipeline/worker/test_worker.py",
        "docs/deploy.md",
        "pipeline/local/demo/report.html.j2",
        "pipeline/cli/submit.py",
        "handlers/comfyui/standin/routes.py",
        "config/__pycache__/tables.cpython-311.pyc",
        "config/.env",
    ],
)
def test_what_only_a_laptop_needs_stays_there(path: str) -> None:
    assert not is_shipped(PurePosixPath(path))


@pytest.mark.thorough
@pytest.mark.parametrize("requirements", IN_CONTAINERS)
def test_what_runs_in_a_container_needs_only_what_is_shipped_and_installed(
    requirements: str, tmp_path: Path
) -> None:
    folder = copied(tmp_path)
    shutil.copy(ROOT / APP_FILE, folder)
    modules = (f"pipeline.modal_app.{name}" for name in IN_CONTAINERS[requirements])
    used = imports(folder, *modules, "comfyui_ryla")
    pinned = (ROOT / "requirements" / f"{requirements}.txt").read_text()
    installed = set(re.findall("^([a-z0-9-]+)==", pinned, re.MULTILINE))
    assert "boto3" in used
    assert used - installed - the_platforms_own() - {"ryla-pipeline", "setuptools", "pip"} == set()


def test_the_check_of_the_nodes_needs_only_its_part(tmp_path: Path) -> None:
    imports(copied(tmp_path, CHECKED), "pipeline.comfyui_setup.check")


def test_the_operators_tables_get_a_place_in_the_container(tmp_path: Path) -> None:
    assert overlays(Settings()) == {}
    mine = tmp_path / "mine.toml"
    assert overlays(Settings(routes_file=mine, gpus_file=mine)) == {
        "RYLA_ROUTES_FILE": (mine, TABLES / "routes.toml"),
        "RYLA_GPUS_FILE": (mine, TABLES / "gpus.toml"),
    }


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
