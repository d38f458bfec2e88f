"""Which files go into a container: code, tables, templates; nothing of what only a laptop needs."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from types import MappingProxyType

from config.settings import Settings, variable
from pipeline.modal_app.resources import TABLES

APP_FILE = "comfyui_ryla.py"
PACKAGES = ("system", "config", "events", "workflows", "handlers", "pipeline")
SUFFIXES = frozenset({".py", ".toml", ".json", ".j2", ".css", ".js", ".txt"})
LEFT_OUT = (
    "pipeline/cli",
    "pipeline/local",
    "pipeline/acceptance",
    "pipeline/report",
    "pipeline/doctor.py",
    "pipeline/modal_app/modal_check.py",
    "pipeline/modal_app/idle_cost.py",
    "pipeline/runpod_app/runpod_check.py",
    "pipeline/runpod_app/image.py",
    "pipeline/engines/local.py",
    "pipeline/engines/local_worker.py",
    # Without it a container that lacks ComfyUI fails, where it would deliver made-up pictures.
    "handlers/comfyui/standin",
)
"""Of a folder the package itself goes along, so that what names it can be imported."""
CHECKED = ("system", "config", "workflows", "handlers", "pipeline/comfyui_setup")
"""What the check of ComfyUI's nodes needs. It runs anew when one of these files changes."""


def is_shipped(path: PurePosixPath) -> bool:
    """`path` is relative to the project's folder."""
    if path.parts[0] not in PACKAGES or path.suffix not in SUFFIXES:
        return False
    if "__pycache__" in path.parts:
        return False
    for folder in LEFT_OUT:
        if path.is_relative_to(folder):
            return path == PurePosixPath(folder) / "__init__.py"
    return True


def shipped_files(root: Path) -> Iterator[Path]:
    """In an order that does not depend on the disk."""
    for package in PACKAGES:
        for path in sorted((root / package).rglob("*")):
            if is_shipped(PurePosixPath(path.relative_to(root).as_posix())) and path.is_file():
                yield path


def overlays(settings: Settings) -> Mapping[str, tuple[Path, PurePosixPath]]:
    """Setting → the operator's table on this machine, and where a container finds it."""
    named = {
        "routes_file": settings.routes_file,
        "gpus_file": settings.gpus_file,
        "models_file": settings.models_file,
        "budgets_file": settings.budgets_file,
    }
    return MappingProxyType(
        {
            variable(name): (path, TABLES / f"{name.removesuffix('_file')}.toml")
            for name, path in named.items()
            if path is not None
        }
    )


DIGITS = 12
"""Of the digest, in a version."""


def app_version(root: Path, settings: Settings, environ: Mapping[str, str]) -> str:
    """What the environment says (in a container, what was deployed), else computed."""
    given = environ.get(variable("app_version"), "").strip()
    return given or f"{settings.app_version}+{digest(root, settings)[:DIGITS]}"


def digest(root: Path, settings: Settings) -> str:
    """sha256 over names and contents. The image's requirements count: they change what runs."""
    files = {
        path.relative_to(root).as_posix(): path
        for path in (root / APP_FILE, *shipped_files(root), *_requirements(root))
    }
    files |= {str(remote): local for local, remote in overlays(settings).values()}
    total = hashlib.sha256()
    for name, path in sorted(files.items()):
        total.update(f"{name}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return total.hexdigest()


def _requirements(root: Path) -> Iterable[Path]:
    return sorted((root / "requirements").glob("*.txt"))
