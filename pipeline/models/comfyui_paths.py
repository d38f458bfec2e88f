"""Tells ComfyUI of models that do not lie in its own folder."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import structlog

from config.models import ModelTable
from config.settings import Settings

FACES = "insightface"
"""The node pack of InstantID looks for it in ComfyUI's own models folder and nowhere else."""


def foreign_models(settings: Settings) -> Path | None:
    """The models folder where it is another than that of the ComfyUI that is to be started."""
    folder, comfyui = settings.models_dir, settings.comfyui_dir
    if folder is None or (comfyui is not None and _same(folder, comfyui / "models")):
        return None
    return folder.absolute()


def search_paths(
    models: ModelTable, folder: Path | None, loras: Sequence[Path]
) -> Mapping[str, Sequence[Path]]:
    """ComfyUI's name of a folder → where else to look for such files."""
    paths: dict[str, list[Path]] = {"loras": list(loras)} if loras else {}
    if folder is not None:
        for name in sorted({*_named(models), *_found(folder), "loras"}):
            paths.setdefault(name, []).append(folder / name)
    return paths


def link_nodes(work_dir: Path, pack: Path) -> Path:
    """A folder that holds our node pack alone, for ComfyUI to look for custom nodes in."""
    folder = work_dir.absolute() / "custom_nodes"
    folder.mkdir(parents=True, exist_ok=True)
    link = folder / "ryla"
    if not link.is_symlink():
        link.symlink_to(pack, target_is_directory=True)
    return folder


def write_paths(work_dir: Path, paths: Mapping[str, Sequence[Path]]) -> Path:
    """The file that `--extra-model-paths-config` takes. JSON is YAML."""
    work_dir.mkdir(parents=True, exist_ok=True)
    file = work_dir.absolute() / "model_paths.yaml"
    lines = {name: "\n".join(map(str, folders)) for name, folders in paths.items()}
    file.write_text(json.dumps({"ryla": lines}))
    return file


def link_faces(folder: Path, comfyui: Path) -> None:
    """Lead ComfyUI's own folder of face models to ours, unless it has one."""
    link, target = comfyui / "models" / FACES, folder / FACES
    if link.exists() or link.is_symlink() or not target.is_dir():
        return
    try:
        link.parent.mkdir(exist_ok=True)
        link.symlink_to(target, target_is_directory=True)
    except OSError as error:  # the kinds without a face run all the same
        structlog.get_logger(__name__).warning(
            "face_models_not_linked", link=str(link), error=error.strerror
        )


def _named(models: ModelTable) -> Iterable[str]:
    return (weight.folder for weight in models.weights_by_name.values())


def _found(folder: Path) -> Iterable[str]:
    try:
        return [each.name for each in folder.iterdir() if each.is_dir()]
    except OSError:
        return []


def _same(one: Path, other: Path) -> bool:
    return one.resolve() == other.resolve()
