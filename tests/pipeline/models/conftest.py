from collections.abc import Callable, Iterator
from typing import Any

import pytest

from config.models import WeightFile
from pipeline.models.hub import HuggingFace
from tests.support.model_hub import COMMIT, HubFile, ModelHub, model_hub

BODY = bytes(range(256)) * 4096
"""1 MiB."""

MakeWeight = Callable[..., WeightFile]


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModelHub]:
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setenv("HF_HUB_DISABLE_IMPLICIT_TOKEN", "0")
    with model_hub() as hub:
        yield hub


@pytest.fixture
def source(hub: ModelHub) -> HuggingFace:
    return HuggingFace(hub.url)


@pytest.fixture
def weight(hub: ModelHub) -> MakeWeight:
    """A row of the table, and its file on the hub."""

    def make(name: str = "model", *, body: bytes = BODY, gated: bool = False, **facts: Any) -> Any:
        file = HubFile(body, gated=gated)
        hub.files[f"acme/{name}/deep/{name}.safetensors"] = file
        row = {
            "name": name,
            "folder": "checkpoints",
            "file": f"{name}.safetensors",
            "family": "flux",
            "repository": f"acme/{name}",
            "path": f"deep/{name}.safetensors",
            "revision": COMMIT,
            "bytes": len(body),
            "sha256": file.sha256,
            "licence": "acme-1.0",
            "commercial_use": True,
        }
        return WeightFile.model_validate({**row, **facts})

    return make
