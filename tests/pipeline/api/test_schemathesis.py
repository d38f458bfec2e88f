"""The OpenAPI document against the app: requests that keep to it, and requests that do not."""

from collections.abc import Iterator, Mapping
from io import BytesIO
from threading import Event, Thread
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from PIL import Image
from schemathesis import Case, CheckContext, Response
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import positive_data_acceptance

from handlers.kinds.base import OutputFile, PromptRun, Timings
from pipeline.api import service
from pipeline.api.app import make_app
from pipeline.api.dependencies import ApiDependencies, Timeouts
from tests.support.api_fixture import bearer, keys
from tests.support.instant_comfyui import InstantClient, InstantServer
from tests.support.pipeline_fixture import PipelineFixture

KEY = "the-key"
TOKEN = "the-token"
PACE = Timeouts(
    look=0.02, first_look=0, job_listing=0, listing=0, image_wait=0.5, stream=0.5, body=5
)
ALIKE = ["/flux-schnell", "/sdxl-instantid"]
"""Their bodies are those of /flux-dev and /flux-instantid."""
NOT_HERE = {"face_models_missing", "missing_model", "node_missing", "not_available"}
"""Codes of 5xx answers that are the operator's to change: weights and packs are not installed."""


class Painter(InstantClient):
    """Makes pictures of the size that the graph asks for."""

    def upload_image(self, body: bytes, name: str) -> str:
        return name

    def run(self, graph: Mapping[str, Any], **options: Any) -> PromptRun:
        inputs = next(node["inputs"] for node in graph.values() if "width" in node["inputs"])
        file = BytesIO()
        Image.new("1", (inputs["width"], inputs["height"])).save(file, "PNG")
        files = [OutputFile("9", "image.png", file.getvalue())]
        return PromptRun(options["prompt_id"], files, Timings())


class Ticks:
    """A dispatcher that looks whenever it is rung; to it minutes pass between two looks."""

    def __init__(self, pipeline: PipelineFixture) -> None:
        self._pipeline = pipeline
        self._rung = Event()
        self._over = False
        self._thread = Thread(target=self._run)
        self._thread.start()

    def ring(self, _: str | None = None) -> None:
        self._rung.set()

    def _run(self) -> None:
        while self._rung.wait() and not self._over:
            self._rung.clear()
            while self._pipeline.tick().active:
                self._pipeline.pass_time(300)

    def close(self) -> None:
        self._over = True
        self._rung.set()
        self._thread.join()


@pytest.fixture
def document(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setattr(service, "WRONG_KEYS", 1_000_000)  # it tries thousands of them
    server = InstantServer()
    server.instant = Painter(lambda **_: None)
    pipeline = PipelineFixture(
        server=server,
        api_keys=keys(acme=KEY),
        api_requests_per_minute=1_000_000,
        api_jobs_per_tenant=1_000_000,
        doorbell_token=TOKEN,
    )
    ticks = Ticks(pipeline)
    app = make_app(ApiDependencies(pipeline.runtime, pipeline.store, ticks.ring, timeouts=PACE))
    yield schemathesis.openapi.from_asgi("/openapi.json", app)
    ticks.close()
    pipeline.close()


def no_server_error(ctx: CheckContext, response: Response, case: Case[Any]) -> None:
    if response.status_code >= 500:
        assert response.json()["code"] in NOT_HERE, response.json()


def keeps_to_it(case: Case[Any]) -> Response:
    """What it answers, if the document says so. That a field is refused for more than a schema can
    say is no fault."""
    answer = case.call(headers=bearer(KEY))
    case.validate_response(
        answer,
        headers=bearer(KEY),
        additional_checks=[no_server_error],
        excluded_checks=[not_a_server_error, positive_data_acceptance],
    )
    return answer


of_document = schemathesis.pytest.from_fixture("document")


@pytest.mark.thorough
@of_document.exclude(deprecated=True).exclude(path=ALIKE).parametrize()
@settings(
    max_examples=4,
    derandomize=True,
    deadline=None,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_every_answer_is_one_that_the_document_describes(case: Case[Any]) -> None:
    keeps_to_it(case)


def test_so_are_those_about_jobs_that_there_are(document: Any) -> None:
    def ask(method: str, path: str, **options: Any) -> Response:
        return keeps_to_it(document[path][method].Case(**options))

    taken = ask("POST", "/flux-schnell", body={"prompt": "a cat"}, media_type="application/json")
    assert taken.status_code == 202
    id = taken.json()["id"]
    job = {"id": id}
    one = {"id": id, "n": "0"}

    waited = ask("GET", "/jobs/{id}", path_parameters=job, headers={"Prefer": "wait=10"})
    stream = ask("GET", "/jobs/{id}/events", path_parameters=job)
    image = ask("GET", "/jobs/{id}/outputs/{n}", path_parameters=one)

    assert waited.json()["status"] == "succeeded"
    assert (stream.status_code, image.status_code) == (200, 200)
    for again in (
        ask("DELETE", "/jobs/{id}", path_parameters=job),
        ask("GET", "/jobs/{id}/outputs/{n}", path_parameters={"id": id, "n": "1"}),
        ask(
            "GET",
            "/jobs/{id}/outputs/{n}",
            path_parameters=one,
            headers={"If-None-Match": image.headers["etag"][0]},
        ),
        ask("POST", "/doorbell/{token}", path_parameters={"token": TOKEN}),
    ):
        assert again.status_code in (409, 404, 304, 202)
