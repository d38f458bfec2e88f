"""Python's garbage collection out of the pictures' way.

ComfyUI collects after a prompt whenever ten seconds have passed, which walks all that its imports
and models left: 0.3 to 0.5 s, about every third picture. What is there once the models are loaded
stays anyway, so it is taken out of the collector's sight. Cycles in it are then not freed, so it is
given back before models are let go: ComfyUI frees those by a collection of its own.
"""

import gc
import threading
from collections.abc import Mapping
from importlib import import_module
from typing import Any

EVICTS = "ryla_evicts"
"""In a prompt's `extra_data`: it names less than ComfyUI keeps, so weights will go."""


class Collection:
    """The collector of this process, and which models it no longer looks at."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._frozen_for: frozenset[int] = frozenset()
        """The models that were loaded at the last freeze, by the address of each."""

    def freeze_after_warm_up(self, loaded: frozenset[int]) -> None:
        """After a picture: freeze once for each set of loaded models."""
        with self._lock:
            if loaded != self._frozen_for:
                gc.unfreeze()
                gc.collect()
                gc.freeze()
                self._frozen_for = loaded

    def thaw_before_eviction(self, request: dict[str, Any]) -> dict[str, Any]:
        """A handler of POST /prompt: gives everything back if this prompt lets weights go."""
        extra = request.get("extra_data")
        if isinstance(extra, Mapping) and extra.get(EVICTS):
            with self._lock:
                gc.unfreeze()
                self._frozen_for = frozenset()
        return request


COLLECTION = Collection()


def loaded_models() -> frozenset[int]:
    """Addresses of the models that ComfyUI has on the GPU now; empty outside ComfyUI."""
    try:
        management = import_module("comfy.model_management")
    except ImportError:
        return frozenset()
    patchers = (loaded.model for loaded in management.current_loaded_models)
    return frozenset(id(patcher.model) for patcher in patchers if patcher is not None)
