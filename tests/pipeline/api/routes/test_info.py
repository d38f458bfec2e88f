"""`/health`, `/models`, `/loras`."""

import pytest

from handlers.kinds.registry import KINDS
from pipeline.store.base import Always
from tests.pipeline.conftest import MakePipeline
from tests.support.api_fixture import ApiFixture, bearer, keys

pytestmark = pytest.mark.anyio


async def test_health_needs_neither_key_nor_store(make_pipeline: MakePipeline) -> None:
    pipeline = make_pipeline(api_keys=keys(acme="a"))
    async with ApiFixture(pipeline) as api:
        answer = await api.client_from("203.0.113.7", "https://api.example").get("/health?probe=1")

    assert answer.status_code == 200
    assert answer.json() == {
        "status": "healthy",
        "app": "ryla",
        "version": pipeline.settings.app_version,
    }
    assert not pipeline.raw.calls


async def test_every_kind_is_listed_with_where_it_runs(api: ApiFixture) -> None:
    told = (await api.client.get("/models")).json()

    kinds = {each["name"]: each for each in told["models"]}
    assert told["count"] == len(kinds)
    assert {name for name, kind in kinds.items() if kind["available"]} == set(KINDS)
    assert kinds["flux-lora"]["takes_lora"]
    assert kinds["sdxl-instantid"]["pictures"] == ["reference_images", "reference_image"]
    assert "L40S" in kinds["flux-dev"]["gpus"]
    assert "flux1-dev.safetensors" in kinds["flux-dev"]["weights"]
    assert not api.pipeline.raw.calls


async def test_loras_are_listed_as_older_clients_read_them(api: ApiFixture) -> None:
    for key in ("loras/character-ann.safetensors", "loras/styles/film.safetensors", "loras/a.json"):
        api.pipeline.raw._store.put(key, b"123", Always())

    told = (await api.client.get("/loras")).json()

    assert told["count"] == 2
    assert [(each["name"], each["path"]) for each in told["loras"]] == [
        ("character-ann", "loras/character-ann.safetensors"),
        ("styles/film", "loras/styles/film.safetensors"),
    ]
    assert told["loras"][0]["bytes"] == 3


@pytest.mark.parametrize("path", ["/models", "/loras", "/jobs", "/metrics"])
async def test_all_else_needs_a_key(make_pipeline: MakePipeline, path: str) -> None:
    async with ApiFixture(make_pipeline(api_keys=keys(acme="a"))) as api:
        assert (await api.client.get(path)).status_code == 401
        assert (await api.client.get(path, headers=bearer("a"))).status_code == 200
