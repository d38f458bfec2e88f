"""The whole API over a store in memory, asked in the test's own event loop."""

import asyncio
import json
from collections.abc import Callable
from typing import Any, Self

from httpx import ASGITransport, AsyncClient, Response

from pipeline.api.app import make_app
from pipeline.api.auth import hashed
from pipeline.api.dependencies import ApiDependencies, Timeouts
from pipeline.api.service import Service
from pipeline.api.watch import TrackedJob
from tests.support.pipeline_fixture import PipelineFixture

QUICK = Timeouts(
    look=0.01, first_look=0.0, job_listing=0.0, listing=0.0, image_wait=10.0, stream=10.0
)
SMALL = {"prompt": "a cat on a wall", "width": 256, "height": 256, "steps": 2}
LOCAL = "http://127.0.0.1:8787"


class ApiFixture:
    """A context manager. `keys` are by tenant; without any, it is open to this machine."""

    def __init__(self, pipeline: PipelineFixture, timeouts: Timeouts = QUICK, **more: Any) -> None:
        self.pipeline = pipeline
        self.changed_keys: list[str | None] = []
        self.dependencies = ApiDependencies(
            pipeline.runtime, pipeline.store, self.changed_keys.append, timeouts=timeouts, **more
        )
        self.app = make_app(self.dependencies)
        self.client = self.client_from("127.0.0.1")

    def client_from(self, address: str, base_url: str = LOCAL) -> AsyncClient:
        transport = ASGITransport(self.app, client=(address, 50_000))
        return AsyncClient(transport=transport, base_url=base_url)

    @property
    def service(self) -> Service:
        service: Service = self.app.state.service
        return service

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.service.close()
        await self.client.aclose()

    async def post(
        self, path: str = "/flux-dev", *, prefer: str | None = "wait=0", **options: Any
    ) -> Response:
        """A small job, unless `json` or `content` say otherwise; other options are headers."""
        sent = {name: options.pop(name) for name in ("json", "content") if name in options}
        headers = {name.replace("_", "-"): value for name, value in options.items()}
        if prefer is not None:
            headers["Prefer"] = prefer
        if "content" in sent:
            headers.setdefault("Content-Type", "application/json")
        return await self.client.post(path, headers=headers, **(sent or {"json": SMALL}))

    async def tick(self) -> None:
        await asyncio.to_thread(self.pipeline.tick)

    async def ticks_until(self, asking: "asyncio.Task[Response]") -> Response:
        """The dispatcher at work until the answer is there."""
        while not asking.done():
            await self.tick()
            await asyncio.sleep(0.005)
        return asking.result()

    async def until(self, is_so: Callable[[], bool], within_s: float = 10) -> None:
        async with asyncio.timeout(within_s):
            while not is_so():
                await asyncio.sleep(0.005)

    def followed(self, id: str) -> TrackedJob | None:
        """What those who wait for a job know of it."""
        return self.service.watcher._tracks.get(id)

    def manifest(self, key: str) -> Any:
        stored = self.pipeline.raw._store.get(key)
        assert stored is not None
        return json.loads(stored.body)


def keys(**by_tenant: str) -> str:
    """As they stand in RYLA_API_KEYS."""
    return ",".join(f"{tenant}:{hashed(key)}" for tenant, key in by_tenant.items())


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}
