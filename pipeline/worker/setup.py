"""ComfyUI as a route needs it on this machine: flags, folders, and the weights read ahead."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from config.models import ModelTable, WeightFile
from config.routes import Route
from config.settings import Settings
from handlers.comfyui.node_folder import node_pack_folder
from handlers.kinds.compatibility import sets_of
from pipeline.loras.cache import lora_folders
from pipeline.models.comfyui_paths import (
    foreign_models,
    link_faces,
    link_nodes,
    search_paths,
    write_paths,
)
from pipeline.models.loads import ModelLoads
from pipeline.models.models_folder import models_folder, path_of
from pipeline.models.preload import WeightsPreload, memory_to_fill
from pipeline.runtime import RuntimeConfig
from pipeline.worker.comfyui import ComfyServer
from pipeline.worker.gpu import wants_gpu
from pipeline.worker.route_sets import listed, listed_sets


@dataclass(frozen=True)
class WorkerSetup:
    """Not started yet."""

    server: ComfyServer
    preload: WeightsPreload
    loads: ModelLoads
    files_of: Callable[[str], frozenset[Path]]
    """The weight files of a kind."""
    sizes: Mapping[str, int]
    """Bytes of each weight file that is known or lies here, by the name that nodes have for it."""


def set_up(
    runtime: RuntimeConfig,
    route: Route,
    *,
    environ: Mapping[str, str],
    work_dir: Path,
    snapshot: bool = False,
) -> WorkerSetup:
    """What a worker of the route needs here. Writes the search paths of models under `work_dir`,
    and makes the folders of LoRAs.

    With `snapshot` ComfyUI is one that can be imported before there is a GPU. `environ` is what
    ComfyUI's environment is chosen from. Raises InvalidSetting.
    """
    settings, models = runtime.settings, runtime.models
    folder = weights_folder(settings)
    sets = [tuple(models.weights(name).values()) for name in listed_sets(models, route.name)]
    paths = [] if folder is None else [[path_of(folder, each) for each in files] for files in sets]
    preload = WeightsPreload(paths, memory_to_fill(route.memory_gib))
    return WorkerSetup(
        ComfyServer(
            settings,
            work_dir=work_dir,
            environ=environ,
            flags=(*route.comfyui_flags, *_reserve(settings)),
            model_paths=_model_paths(runtime, work_dir),
            on_gpu=wants_gpu(runtime),
            forks=snapshot or settings.comfyui_forks,
        ),
        preload,
        ModelLoads(models, runtime.deployed, folder, lambda: preload.report),
        partial(_files_of, models, folder),
        weight_sizes(models, folder),
    )


def weights_folder(settings: Settings) -> Path | None:
    """Where ComfyUI will read weights; None for the stand-in, and one that somebody else runs."""
    return None if settings.comfyui_dir is None else models_folder(settings).absolute()


def _files_of(models: ModelTable, folder: Path | None, kind: str) -> frozenset[Path]:
    if folder is None:
        return frozenset()
    files: Mapping[str, WeightFile] = models.files(listed(models, sets_of((kind,))))
    return frozenset(path_of(folder, weight) for weight in files.values())


def weight_sizes(models: ModelTable, folder: Path | None) -> Mapping[str, int]:
    """Bytes of each weight file that is known, or lies in the folder, by the name that nodes have
    for it."""
    sizes: dict[str, int] = {}
    for weight in models.weights_by_name.values():
        path = None if folder is None else path_of(folder, weight)
        if weight.bytes is not None:
            sizes[weight.file] = weight.bytes
        elif path is not None and path.is_file():
            sizes[weight.file] = path.stat().st_size
    return sizes


def _reserve(settings: Settings) -> tuple[str, ...]:
    """ComfyUI sees all of its card, and takes it unless it is told."""
    if settings.comfyui_dir is None or not settings.gpu_reserve_gib:
        return ()
    return ("--reserve-vram", f"{settings.gpu_reserve_gib:.3f}")


def _model_paths(runtime: RuntimeConfig, work_dir: Path) -> Path:
    settings = runtime.settings
    loras = lora_folders(settings, work_dir)
    for each in loras:
        each.mkdir(parents=True, exist_ok=True)
    folder = foreign_models(settings)
    if folder is not None and settings.comfyui_dir is not None:
        link_faces(folder, settings.comfyui_dir)
    nodes = link_nodes(work_dir, node_pack_folder())
    paths = search_paths(runtime.models, folder, loras)
    return write_paths(work_dir, {**paths, "custom_nodes": [nodes]})
