"""What there is: `/health`, `/models`, `/loras`."""

from functools import cache
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from handlers.kinds.base import image_fields
from handlers.kinds.compatibility import sets_of
from handlers.kinds.lora_fields import TakesLora
from handlers.kinds.registry import KINDS
from pipeline.api.openapi import problems
from pipeline.api.paths import ENDPOINTS, Endpoint
from pipeline.api.request import Shared, Tenant, require_query
from pipeline.api.responses import Json
from pipeline.api.schemas import Health, Kind, Kinds, LoraFile, Loras
from pipeline.loras.bucket import ENDING
from pipeline.runtime import RuntimeConfig


async def health(service: Shared) -> Response:
    """Touches neither the store nor a GPU, and needs no key. Monitors add queries of their own."""
    settings = service.dependencies.runtime.settings
    return Json(Health(app=settings.modal_app, version=settings.app_version).model_dump())


async def models(request: Request, tenant: Tenant, service: Shared) -> Response:  # noqa: ARG001
    """Those that are built, and those to come."""
    require_query(request)
    found = [_kind(each, service.dependencies.runtime) for each in ENDPOINTS if not each.alias]
    return Json(Kinds(models=tuple(found), count=len(found)).model_dump())


async def loras(request: Request, tenant: Tenant, service: Shared) -> Response:
    """To be named as `lora_name`; without those that are other tenants' alone."""
    require_query(request)
    prefix = service.dependencies.runtime.settings.lora_prefix
    found = await service.threads.run(service.loras.of, tenant)
    files = tuple(
        LoraFile(
            name=each.key.removeprefix(prefix).removesuffix(ENDING),
            path=each.key,
            bytes=each.size,
            last_modified=each.last_modified,
        )
        for each in found
    )
    return Json(Loras(loras=files, count=len(files)).model_dump(mode="json"))


def _kind(endpoint: Endpoint, runtime: RuntimeConfig) -> Kind:
    kind = KINDS.get(endpoint.kind)
    if kind is None:
        return Kind(name=endpoint.kind, path=endpoint.path, available=False)
    weights = [
        weight.file
        for name in sets_of((kind.name,))
        for weight in runtime.models.weights(name).values()
    ]
    return Kind(
        name=kind.name,
        path=endpoint.path,
        available=True,
        gpus=tuple(runtime.routes.route(kind.route).gpus),
        weights=tuple(dict.fromkeys(weights)),
        takes_lora=isinstance(kind, TakesLora),
        pictures=tuple(image_fields(kind.input_model)),
    )


@cache
def about_router() -> APIRouter:
    router = APIRouter(tags=["about"], default_response_class=Response)
    refused = problems(400, 401, 403, 429)
    told: dict[str, dict[int | str, dict[str, Any]]] = {
        "/health": {200: {"description": "It does.", "model": Health}},
        "/models": {200: {"description": "All.", "model": Kinds}, **refused},
        "/loras": {200: {"description": "All.", "model": Loras}, **refused, **problems(503)},
    }
    for path, handler, summary in (
        ("/health", health, "Whether this process answers"),
        ("/models", models, "The kinds of jobs"),
        ("/loras", loras, "The LoRA files of the bucket"),
    ):
        router.get(path, summary=summary, responses=told[path])(handler)
        router.head(path, include_in_schema=False)(handler)
    return router
