"""The version of a deployment: the package's, and a digest of everything that is shipped."""

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path

from config.settings import Settings, variable
from pipeline.deployed.shipping import APP_FILE, overlays, shipped_files

DIGITS = 12


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
