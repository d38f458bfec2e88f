import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import cache_from_source
from pathlib import Path
from typing import Self

import pytest

from config.settings import Settings
from pipeline.comfyui_setup.pins import COMFYUI, COMMIT, LOCKS, PACKS
from pipeline.modal_app import image
from pipeline.modal_app.container_files import PACKAGES
from pipeline.modal_app.image import Recipe, build
from workflows.required_nodes import INSTANTID

ROOT = Path(__file__).parents[3]


@dataclass(frozen=True)
class Lines:
    """An image as the list of what it is told."""

    said: tuple[str, ...] = ()

    def _and(self, *lines: str) -> Self:
        return type(self)((*self.said, *lines))

    def apt_install(self, *packages: str) -> Self:
        return self._and(*(f"apt {each}" for each in packages))

    def uv_pip_install(
        self, *, requirements: list[str], extra_options: str, uv_version: str
    ) -> Self:
        return self._and(f"uv {uv_version} {extra_options} {' '.join(requirements)}")

    def run_commands(self, *commands: str) -> Self:
        return self._and(*(f"run {each}" for each in commands))

    def env(self, vars: dict[str, str]) -> Self:
        return self._and(*(f"env {name}={value}" for name, value in vars.items()))

    def add_local_dir(
        self,
        local_path: Path,
        remote_path: str,
        *,
        copy: bool,
        ignore: Callable[[Path], bool],
    ) -> Self:
        files = (each for each in sorted(local_path.rglob("*")) if each.is_file())
        names = [each.relative_to(local_path) for each in files]
        verb = "copy" if copy else "ship"
        return self._and(*(f"{verb} {remote_path}/{name}" for name in names if not ignore(name)))

    def add_local_file(self, local_path: Path, remote_path: str) -> Self:
        return self._and(f"ship {remote_path}")


def lines(recipe: Recipe, **settings: Path | str) -> list[str]:
    return list(build(Lines(), recipe, ROOT, Settings.model_validate(settings)).said)


@pytest.fixture(scope="module")
def worker() -> list[str]:
    return lines(image.worker())


def at(lines: list[str], pattern: str) -> int:
    return next(index for index, line in enumerate(lines) if re.search(pattern, line))


def test_what_changes_seldom_comes_first_and_the_projects_source_last(worker: list[str]) -> None:
    order = [
        at(worker, "^apt git"),
        at(worker, "^uv .*requirements/comfy_cli.txt"),
        at(worker, "^copy /opt/ryla/locks/comfyui.txt"),
        at(worker, f"^run comfy .*install --version {COMFYUI}"),
        at(worker, "pip install .*--require-hashes"),
        at(worker, r"pip install .*-r\S*/requirements.txt"),
        at(worker, "^uv .*requirements/gpu.txt"),
        at(worker, "^copy /opt/ryla/check/workflows/required_nodes.py"),
        at(worker, "^run .* -m pipeline.comfyui_setup.check /opt/ComfyUI"),
        at(worker, "^env RYLA_COMFYUI_DIR=/opt/ComfyUI"),
        at(worker, "^copy /root/system/__init__.py"),
        at(worker, "^run .*compileall"),
    ]
    assert order == sorted(order)
    assert order[-1] == len(worker) - 1
    assert all(line.startswith("copy /root/") for line in worker[order[-2] : -1])


def test_the_code_is_compiled_for_good_where_the_image_is_built(
    worker: list[str], tmp_path: Path
) -> None:
    # As a start would otherwise do it, at each first import in each container.
    shutil.copytree(ROOT / "system", tmp_path / "system", ignore=lambda *_: ["__pycache__"])
    command = shlex.split(worker[-1].removeprefix("run "))
    places = [word for word in command if word.startswith("/root/")]
    assert places == [f"/root/{folder}" for folder in PACKAGES]

    here = [sys.executable, *command[1 : -len(places)], str(tmp_path / "system")]
    subprocess.run(here, check=True)

    sources = list(tmp_path.rglob("*.py"))
    compiled = [Path(cache_from_source(source)) for source in sources]
    assert sources
    # Of a hash, and never looked at again: PEP 552.
    assert {each.read_bytes()[4:8] for each in compiled} == {b"\x01\0\0\0"}


def test_the_build_reports_to_nobody_and_keeps_no_downloads(worker: list[str]) -> None:
    first = at(worker, "^(run|uv)")
    assert at(worker, "^env DO_NOT_TRACK=1") < first
    assert at(worker, "^env PIP_NO_CACHE_DIR=1") < first


def test_comfyuis_packages_are_installed_by_hash_and_nothing_is_built(worker: list[str]) -> None:
    first, second = [line for line in worker if " -m pip install " in line]
    assert "--require-hashes --no-deps -r/opt/ryla/locks/comfyui.txt" in first
    assert first.endswith("-r/opt/ryla/locks/onnxruntime-gpu.txt")
    # Of ComfyUI's own list nothing is fetched: a line that the locks leave open ends the build.
    assert "--no-deps --no-index -r/opt/ComfyUI/requirements.txt" in second
    assert "env PIP_ONLY_BINARY=:all:" in worker


def test_node_packs_are_taken_at_their_commits(worker: list[str]) -> None:
    assert at(worker, f"checkout .*--detach {PACKS[INSTANTID].commit}")


def test_every_package_of_ours_is_pinned_by_hash() -> None:
    for recipe in (image.worker(), image.service()):
        text = (ROOT / recipe.requirements).read_text()
        assert "--require-hashes" in " ".join(lines(recipe))
        names = re.findall(r"^([a-z0-9-]+)==", text, re.MULTILINE)
        assert names
        assert text.count("--hash=sha256:") >= len(names)


def test_each_environment_has_exactly_one_onnxruntime(worker: list[str]) -> None:
    ours = (ROOT / image.worker().requirements).read_text()
    assert re.findall(r"^(onnxruntime[a-z-]*)==", ours, re.MULTILINE) == ["onnxruntime-gpu"]
    locks = [Path(word).name for line in worker for word in line.split() if word[:2] == "-r"]
    assert [name for name in locks if "onnxruntime" in name] == ["onnxruntime-gpu.txt"]
    assert not [name for name in locked("comfyui.txt") if name.startswith("onnxruntime")]


def test_the_service_image_has_neither_comfyui_nor_torch() -> None:
    said = lines(image.service())
    built = [line for line in said if not line.startswith(("copy", "ship"))]
    assert not any("comfy " in line or "torch" in line for line in built)


def test_no_weights_no_secrets_and_no_tests_are_shipped(worker: list[str]) -> None:
    shipped = [line for line in worker if line.startswith(("ship", "copy"))]
    assert not any("/tests/" in line or ".safetensors" in line for line in shipped)
    assert not any(re.search("KEY|SECRET|TOKEN", line) for line in worker if line[:4] == "env ")


def test_tables_of_the_operators_are_shipped_and_named(tmp_path: Path) -> None:
    own = tmp_path / "mine.toml"
    own.write_text("")
    said = lines(image.service(), routes_file=own)
    assert "env RYLA_ROUTES_FILE=/opt/ryla/tables/routes.toml" in said
    assert said[-1] == "ship /opt/ryla/tables/routes.toml"


@pytest.mark.parametrize(
    ("settings", "name"), [({}, "production"), ({"modal_environment": "staging"}, "staging")]
)
def test_events_say_which_environment_they_are_of(settings: dict[str, str], name: str) -> None:
    assert f"env RYLA_ENVIRONMENT={name}" in lines(image.service(), **settings)


def locked(name: str) -> dict[str, str]:
    """Package → version."""
    text = (LOCKS / name).read_text()
    return dict(re.findall(r"^([a-z0-9.-]+)==([^ ]+)", text, re.MULTILINE))


def packages(file: str) -> set[str]:
    return set(re.findall(r"^[a-z0-9.-]+==[^ ]+", (ROOT / file).read_text(), re.MULTILINE))


def test_what_comfy_cli_needs_is_what_comes_later_at_the_same_versions() -> None:
    assert packages("requirements/comfy_cli.txt") <= packages("requirements/gpu.txt")


def test_comfyui_is_taken_at_its_commit(worker: list[str]) -> None:
    assert at(worker, f"checkout .*--detach {COMMIT}") > at(worker, "^run comfy ")


def test_packages_are_compiled_when_the_image_is_built(worker: list[str]) -> None:
    installs = [line for line in (*worker, *lines(image.service())) if line.startswith("uv ")]
    assert len(installs) == 3
    assert all("--compile-bytecode" in line for line in installs)


def test_onnxruntime_finds_the_cuda_libraries_of_comfyuis_torch(worker: list[str]) -> None:
    [path] = [line for line in worker if line.startswith("env LD_LIBRARY_PATH=")]
    assert path.split("=")[1].split(":") == [
        f"/opt/ComfyUI/.venv/lib/python3.11/site-packages/nvidia/{folder}/lib"
        for folder in ("cu13", "cudnn")
    ]


CUDA_LIBRARIES = {
    "libcublas.so.13": "nvidia-cublas",
    "libcublasLt.so.13": "nvidia-cublas",
    "libcudart.so.13": "nvidia-cuda-runtime",
    "libcudnn.so.9": "nvidia-cudnn-cu13",
    "libcurand.so.10": "nvidia-curand",
}
"""What onnxruntime-gpu 1.31 asks the loader for, and the package that has it."""


@pytest.mark.parametrize("library", CUDA_LIBRARIES)
def test_comfyuis_environment_has_each_library_in_the_major_that_is_asked_for(library: str) -> None:
    package, major = CUDA_LIBRARIES[library], library.rpartition(".")[2]
    assert locked("comfyui.txt")[package].split(".")[0] == major
    ours = packages("requirements/gpu.txt")
    assert "onnxruntime-gpu==1.31.1" in ours, "another version: look again what it asks for"
