"""A part of the API alone, asked in the test's own process."""

from fastapi import APIRouter, FastAPI
from starlette.testclient import TestClient

from pipeline.api.dependencies import ApiDependencies
from pipeline.api.problems import handle_errors
from pipeline.api.service import Service


def app_with(dependencies: ApiDependencies, router: APIRouter) -> FastAPI:
    app = FastAPI(redirect_slashes=False)
    app.state.service = Service.of(dependencies)
    app.include_router(router)
    handle_errors(app)
    return app


def client_of(dependencies: ApiDependencies, router: APIRouter) -> TestClient:
    return TestClient(
        app_with(dependencies, router), base_url="http://127.0.0.1", client=("127.0.0.1", 50_000)
    )
