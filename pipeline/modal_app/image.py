"""What is in the images, as data, and the one place that turns the data into calls.

In the order of how seldom a part changes: system packages, comfy-cli, ComfyUI with its node packs
and torch, our packages, the check of the nodes, variables, and the project's own code last.

The code is copied and compiled, not mounted: each container's first import would compile it anew.
"""

import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Protocol, Self, TypeVar

from config.settings import Settings, variable
from pipeline.comfyui_setup.install import UNTRACKED, InstallOptions, steps
from pipeline.comfyui_setup.pins import PYTHON
from pipeline.modal_app import resources
from pipeline.modal_app.container_files import CHECKED, PACKAGES, is_shipped, overlays

UV = "0.13.9"
BUILDER = "2026.10"
"""The platform's epoch of images, which decides the base's packages; else it is the workspace's."""
CHECK_CODE = PurePosixPath("/opt/ryla/check")
LOCKS = PurePosixPath("/opt/ryla/locks")
COMPILE = ("python", "-I", "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash")
"""Compiled for good: in an image no file changes, so no start need compare times."""


@dataclass(frozen=True)
class Recipe:
    """What an image is built from."""

    requirements: str
    """File of hash-pinned packages, relative to the project's folder."""
    env: Mapping[str, str]
    build_env: Mapping[str, str] = field(default_factory=dict)
    """Of the build's own steps, and harmless later."""
    apt: tuple[str, ...] = ()
    tools: str | None = None
    """File of hash-pinned packages that the commands are run with. Those of `requirements` come
    after them: a change of ours leaves what the commands made as it is."""
    locks: str | None = None
    """Folder of hash-pinned packages that the commands install."""
    commands: tuple[str, ...] = ()
    """Lines of shell."""
    loop: str | None = None
    """File of hash-pinned packages by which the platform gives a worker its jobs, installed last.
    It agrees with `requirements` on every version."""
    check: str | None = None
    """A line of shell that fails the build, run where `container_files.CHECKED` lie."""
    python: str = PYTHON


class Image(Protocol):
    """What of the platform's image is used."""

    def apt_install(self, *packages: str) -> Self: ...

    def uv_pip_install(
        self, *, requirements: list[str], extra_options: str, uv_version: str
    ) -> Self: ...

    def run_commands(self, *commands: str) -> Self: ...

    def env(self, vars: dict[str, str]) -> Self: ...

    def add_local_dir(
        self,
        local_path: Path,
        remote_path: str,
        *,
        copy: bool,
        ignore: Callable[[Path], bool],
    ) -> Self: ...

    def add_local_file(self, local_path: Path, remote_path: str) -> Self: ...


ImageT = TypeVar("ImageT", bound=Image)


def service() -> Recipe:
    """Of whatever needs no GPU."""
    return Recipe(requirements="requirements/service.txt", env=resources.SERVICE)


def worker() -> Recipe:
    options = InstallOptions(Path(resources.COMFYUI), base_python="python", locks=Path(LOCKS))
    return Recipe(
        requirements="requirements/gpu.txt",  # with onnxruntime for GPUs alone
        env=resources.WORKER,
        tools="requirements/comfy_cli.txt",
        build_env={
            **UNTRACKED,
            "PIP_NO_CACHE_DIR": "1",  # else gigabytes of it are in the image
            "PIP_ONLY_BINARY": ":all:",  # what builds a package has no hash
        },
        apt=("git",),
        locks="pipeline/comfyui_setup/locks",
        commands=tuple(shlex.join(step.command) for step in steps(options, "comfy")),
        check=f"python -m pipeline.comfyui_setup.check {options.folder}",
    )


def build(base: ImageT, recipe: Recipe, root: Path, settings: Settings) -> ImageT:
    """`base` with everything in it. `root` is the project's folder."""
    image = base.env({**recipe.build_env}) if recipe.build_env else base
    image = image.apt_install(*recipe.apt) if recipe.apt else image
    if recipe.tools is not None:
        image = _with_packages(image, root / recipe.tools)
    if recipe.locks is not None:
        image = image.add_local_dir(
            root / recipe.locks, str(LOCKS), copy=True, ignore=lambda path: path.suffix != ".txt"
        )
    if recipe.commands:
        image = image.run_commands(*recipe.commands)
    image = _with_packages(image, root / recipe.requirements)
    if recipe.loop is not None:
        image = _with_packages(image, root / recipe.loop)
    if recipe.check is not None:
        for folder in CHECKED:
            image = _with_folder(image, root, folder, CHECK_CODE)
        image = image.run_commands(f"cd {CHECK_CODE} && {recipe.check}")
    tables = overlays(settings)
    # A secret that says otherwise wins over what an image says.
    named = {variable("environment"): settings.modal_environment or "production"}
    places = {name: str(there) for name, (_, there) in tables.items()}
    image = image.env({**recipe.env, **named, **places})
    for folder in PACKAGES:
        image = _with_folder(image, root, folder, resources.CODE)
    code = (str(resources.CODE / folder) for folder in PACKAGES)
    image = image.run_commands(shlex.join((*COMPILE, *code)))
    for local, remote in tables.values():
        image = image.add_local_file(local.absolute(), str(remote))
    return image


def _with_packages(image: ImageT, requirements: Path) -> ImageT:
    return image.uv_pip_install(
        requirements=[str(requirements)],
        # Compiled when the image is built, not by each container's first start.
        extra_options="--require-hashes --no-deps --compile-bytecode",
        uv_version=UV,
    )


def _with_folder(image: ImageT, root: Path, folder: str, into: PurePosixPath) -> ImageT:
    return image.add_local_dir(
        root / folder,
        str(into / folder),
        copy=True,
        ignore=lambda path: not is_shipped(PurePosixPath(folder) / path.as_posix()),
    )
