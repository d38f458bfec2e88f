import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from zipfile import ZipFile

CLIENTS = Path(__file__).parents[2] / "clients"
BUILD = "import setuptools.build_meta as backend; print(backend.build_wheel('.'))"
USE = """
import sys
sys.path.insert(0, sys.argv[1])
from ryla_client._cli import main
import ryla_client
assert ryla_client.__file__.startswith(sys.argv[1])
assert not {"pydantic", "boto3", "pipeline", "config"} & sys.modules.keys()
main(["flux-dev", "--help"])
"""


def test_it_installs_by_itself(tmp_path: Path) -> None:
    source = tmp_path / "clients"
    shutil.copytree(CLIENTS, source, ignore=shutil.ignore_patterns("__pycache__", "typescript"))
    built = _python("-W", "ignore", "-c", BUILD, cwd=source).splitlines()[-1]

    with ZipFile(source / built) as wheel:
        names = wheel.namelist()
        (entry_points,) = (each for each in names if each.endswith("entry_points.txt"))
        assert "ryla-client = ryla_client._cli:main" in wheel.read(entry_points).decode()
    assert "ryla_client/py.typed" in names
    assert {name.partition("/")[0].partition("-")[0] for name in names} == {"ryla_client"}
    shown = _python("-I", "-c", USE, str(source / built), cwd=tmp_path)
    assert "--prompt" in shown


def test_httpx_is_all_that_it_needs() -> None:
    project = tomllib.loads((CLIENTS / "pyproject.toml").read_text())["project"]

    assert [each.partition(">")[0] for each in project["dependencies"]] == ["httpx"]


def _python(*arguments: str, cwd: Path) -> str:
    run = subprocess.run(
        [sys.executable, *arguments], cwd=cwd, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    return run.stdout
