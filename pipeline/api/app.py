"""Puts the app together."""

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

from config.settings import listed
from pipeline.api.dependencies import ApiDependencies
from pipeline.api.docs_page import add_reference
from pipeline.api.middleware import REQUEST_ID, RequestMiddleware
from pipeline.api.openapi import document
from pipeline.api.problems import handle_errors
from pipeline.api.routes.doorbell import doorbell_router
from pipeline.api.routes.generate import generating_router
from pipeline.api.routes.info import about_router
from pipeline.api.routes.jobs import jobs_router
from pipeline.api.routes.metrics import metrics_router
from pipeline.api.service import Service
from system.free_memory import map_large_blocks

ABOUT = """Image generation driven by object storage.

Send a kind's input to its path. `Prefer: wait=N` waits for the end; without it the answer is 202
and a Location to ask. `Accept: image/*` answers the picture itself. Errors are problem details
(RFC 9457) with a stable `code`.
"""
TAGS = [
    {"name": "generate", "description": "One path for each kind of job."},
    {"name": "jobs", "description": "Jobs after they were sent."},
    {"name": "about", "description": "What there is."},
]
SHOWN_TO_PAGES = (
    "Location",
    "Retry-After",
    "Preference-Applied",
    "Idempotency-Replayed",
    "ETag",
    "X-Cost-USD",
    "X-Execution-Time-Sec",
    "X-GPU-Type",
    "X-Job-Id",
    "X-LoRA-Used",
    "X-Model",
    "X-Outputs",
    "X-Seed",
    "X-Warning",
    REQUEST_ID,
)


def make_app(dependencies: ApiDependencies) -> FastAPI:
    """Raises InvalidSetting."""
    service = Service.of(dependencies)
    settings = dependencies.runtime.settings
    app = FastAPI(
        title="ryla",
        version=settings.app_version,
        description=ABOUT,
        openapi_tags=TAGS,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=_lifespan,
    )
    app.state.service = service
    routers = (
        generating_router(),
        jobs_router(),
        about_router(),
        metrics_router(dependencies),
        doorbell_router(dependencies),
    )
    # Not included: that would take each path operation apart anew at the first request.
    for router in routers:
        app.router.routes.extend(router.routes)
    add_reference(app)
    handle_errors(app)
    _allow_pages(app, listed(settings.cors_origins))
    app.add_middleware(RequestMiddleware)
    _describe(app, keyed=bool(service.authenticator.keys))
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    service: Service = app.state.service
    map_large_blocks()
    # It takes 0.2 s, and whoever asks first should not hold up the others.
    made = asyncio.create_task(service.threads.run(app.openapi))
    yield
    service.close()
    await made


def _allow_pages(app: FastAPI, origins: Collection[str]) -> None:
    """Pages of these origins may ask from a browser."""
    if not origins:
        return
    app.add_middleware(
        CORSMiddleware,
        allow_origins=sorted(origins),
        allow_methods=["GET", "POST", "DELETE"],
        allow_headers=[
            "Authorization",
            "Content-Type",
            "Idempotency-Key",
            "Last-Event-ID",
            "Prefer",
            REQUEST_ID,
        ],
        expose_headers=list(SHOWN_TO_PAGES),
    )


def _describe(app: FastAPI, *, keyed: bool) -> None:
    def openapi() -> dict[str, object]:
        if app.openapi_schema is None:
            app.openapi_schema = document(app, keyed=keyed)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]
