"""The workers' image as a Dockerfile: the recipe of Modal's, with RunPod's loop and folders."""

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import Self

from config.platforms import RUNPOD
from config.settings import Settings
from pipeline.modal_app import image, resources
from pipeline.modal_app.container_files import app_version
from pipeline.modal_app.image import Recipe

VOLUME = PurePosixPath("/runpod-volume")
"""Where the platform mounts an endpoint's network volume."""
MODELS = VOLUME / "models"
FILES = "files"
"""Folder of the build's context: what is copied lies there under the path that it gets."""
START = ("python", "-m", "pipeline.runpod_app.runpod_worker")


def worker(version: str) -> Recipe:
    """`version` is what results and events will name."""
    recipe = image.worker()
    cache = VOLUME / "cache"
    return replace(
        recipe,
        loop="requirements/runpod.txt",
        env={
            **recipe.env,
            "RYLA_ENGINE": RUNPOD,
            "RYLA_APP_VERSION": version,
            "RYLA_MODELS_DIR": str(MODELS),
            "RYLA_LORA_DIR": str(resources.WORK / "loras"),
            "TORCHINDUCTOR_CACHE_DIR": str(cache / "inductor"),
            "TRITON_CACHE_DIR": str(cache / "triton"),
            "CUDA_CACHE_PATH": str(cache / "cuda"),
            "PYTHONPATH": str(resources.CODE),
            # What the container runtime gives to images that are not NVIDIA's own.
            "NVIDIA_VISIBLE_DEVICES": "all",
            "NVIDIA_DRIVER_CAPABILITIES": "compute,utility",
        },
    )


@dataclass(frozen=True)
class Dockerfile:
    """An image that writes down what it is told, and which files the build's context must hold."""

    lines: tuple[str, ...] = ()
    files: Mapping[str, Path] = field(default_factory=lambda: MappingProxyType({}))
    """Path in the context → file on this machine."""

    def _and(self, *lines: str, files: Mapping[str, Path] = MappingProxyType({})) -> Self:
        return replace(self, lines=(*self.lines, *lines), files={**self.files, **files})

    def apt_install(self, *packages: str) -> Self:
        names = " ".join(packages)
        return self._and(
            "RUN apt-get update && apt-get install --yes --no-install-recommends"
            f" {names} && rm -rf /var/lib/apt/lists/*"
        )

    def uv_pip_install(
        self, *, requirements: list[str], extra_options: str, uv_version: str
    ) -> Self:
        made = self
        for each in map(Path, requirements):
            there = f"/opt/ryla/requirements/{each.name}"
            made = made._and(
                f"COPY {FILES}{there} {there}",
                f"RUN pip install --no-cache-dir --quiet uv=={uv_version} && uv pip install"
                f" --system --no-cache {extra_options} --requirements {there}",
                files={f"{FILES}{there}": each},
            )
        return made

    def run_commands(self, *commands: str) -> Self:
        return self._and(*(f"RUN {command}" for command in commands))

    def env(self, vars: dict[str, str]) -> Self:
        return self._and(*(f'ENV {name}="{value}"' for name, value in vars.items()))

    def add_local_dir(
        self,
        local_path: Path,
        remote_path: str,
        *,
        copy: bool,  # noqa: ARG002  all is copied here
        ignore: Callable[[Path], bool],
    ) -> Self:
        inside = (path.relative_to(local_path) for path in sorted(local_path.rglob("*")))
        files = {
            f"{FILES}{remote_path}/{path.as_posix()}": local_path / path
            for path in inside
            if (local_path / path).is_file() and not ignore(path)
        }
        return self._and(f"COPY {FILES}{remote_path} {remote_path}", files=files)

    def add_local_file(self, local_path: Path, remote_path: str) -> Self:
        there = f"{FILES}{remote_path}"
        return self._and(f"COPY {there} {remote_path}", files={there: local_path})

    def text(self) -> str:
        return "\n".join(self.lines) + "\n"


def dockerfile(root: Path, settings: Settings, environ: Mapping[str, str]) -> Dockerfile:
    """`root` is the project's folder."""
    recipe = worker(app_version(root, settings, environ))
    base = Dockerfile((f"FROM python:{recipe.python}-slim-bookworm",))
    built = image.build(base, recipe, root, settings)
    command = ", ".join(f'"{word}"' for word in START)
    return built._and(f"WORKDIR {resources.CODE}", f"CMD [{command}]")


def write_context(made: Dockerfile, folder: Path) -> None:
    """All that `docker build FOLDER` needs. Raises FileExistsError for a folder that has
    something else in it."""
    if folder.exists() and any(folder.iterdir()):
        raise FileExistsError(str(folder))
    for name, path in made.files.items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    (folder / "Dockerfile").write_text(made.text(), "utf-8")
