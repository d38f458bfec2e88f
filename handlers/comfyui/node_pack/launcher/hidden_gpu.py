"""torch.cuda while ComfyUI is imported: no GPU is seen, and CUDA is not so much as looked for.

A process that has touched CUDA cannot be forked into one that uses it. ComfyUI needs four answers
of torch.cuda while it is imported; they are given here, and taken back in the fork.
"""

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

ENVIRON: Mapping[str, str] = {"CUDA_VISIBLE_DEVICES": "", "PYTORCH_NVML_BASED_CUDA_CHECK": "1"}
"""No GPU is visible, and is_available() counts by NVML, of which it then needs nothing. Otherwise
it would ask the driver, after which torch refuses CUDA in every fork."""
DEVICES = "/dev/nvidia"


class HiddenGpu:
    """Of this process, from before torch is imported until `show`."""

    def __init__(self) -> None:
        self._before = {name: os.environ.get(name) for name in ENVIRON}
        self._shown: dict[str, Any] = {}
        os.environ.update(ENVIRON)
        if "torch" in sys.modules:  # a package's .pth file may import it
            self._hide(sys.modules["torch"])
        else:
            sys.meta_path.insert(0, _AfterTorch(self._hide))

    def _hide(self, torch: ModuleType) -> None:
        first = torch.device("cuda", 0)
        answers: Mapping[str, Callable[..., Any]] = {
            "current_device": lambda: first,
            "memory_stats": lambda device=None: {"reserved_bytes.all.current": 0},  # noqa: ARG005
            "mem_get_info": lambda device=None: (0, 0),  # noqa: ARG005
            "get_device_name": lambda device=None: "hidden",  # noqa: ARG005
        }
        self._shown = {name: getattr(torch.cuda, name) for name in answers}
        for name, answer in answers.items():
            setattr(torch.cuda, name, answer)

    def show(self) -> None:
        """Everything as it was before."""
        for name, value in self._before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
        for name, function in self._shown.items():
            setattr(sys.modules["torch"].cuda, name, function)


def traces(descriptors: Path = Path("/proc/self/fd")) -> list[str]:
    """What this process has of CUDA already; nothing if it may be forked."""
    opened = [f"{device} is open" for device in _links(descriptors) if device.startswith(DEVICES)]
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        opened.append("torch has initialised CUDA")
    return opened


def _links(folder: Path) -> Iterator[str]:
    for entry in os.scandir(folder):
        try:
            yield os.readlink(entry.path)
        except FileNotFoundError:
            continue  # of the listing itself


class _AfterTorch(MetaPathFinder):
    """Calls back when torch has been imported, whoever imports it and whenever."""

    def __init__(self, done: Callable[[ModuleType], None]) -> None:
        self._done = done

    def find_spec(self, name: str, path: Any, target: ModuleType | None = None) -> Any:
        spec = PathFinder.find_spec(name, path, target) if name == "torch" else None
        if spec is not None and spec.loader is not None:
            spec.loader = _Loading(spec.loader, self._finished)
        return spec

    def _finished(self, torch: ModuleType) -> None:
        sys.meta_path.remove(self)
        self._done(torch)


class _Loading(Loader):
    def __init__(self, loader: Loader, done: Callable[[ModuleType], None]) -> None:
        self._loader = loader
        self._done = done

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        spec = module.__spec__
        assert spec is not None
        module.__loader__ = spec.loader = self._loader  # as if it had been there alone
        self._loader.exec_module(module)
        self._done(module)
