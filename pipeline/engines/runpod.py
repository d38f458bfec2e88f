"""Workers as containers behind RunPod's serverless endpoints: one endpoint a route.

    POST {url}/{endpoint}/run            {"input": …, "policy": …} → {"id": …, "status": "IN_QUEUE"}
    POST {url}/{endpoint}/cancel/{id}
    GET  {url}/{endpoint}/health         {"jobs": {…}, "workers": {…}}

As docs.runpod.io/serverless/endpoints/job-operations has them.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import httpx
import structlog

from config.errors import EngineUnavailable, InvalidSetting
from config.nearest import require_known
from config.routes import RouteTable
from config.settings import Settings, endpoints, variable
from pipeline.queue.spawn import SpawnPayload

ANSWER_S = 10.0
"""Longest that a request may take: all jobs of a tick wait for the slowest."""


class RunpodEngine:
    """Sends, and forgets: the lease tells how a job fares. Usable from any thread."""

    def __init__(
        self, settings: Settings, routes: RouteTable, *, answer_s: float = ANSWER_S
    ) -> None:
        """No request is made yet. Raises InvalidSetting without a key or endpoints, and for
        an endpoint of no route."""
        self._routes = routes
        self._spawned_s = settings.spawned_seconds
        self._endpoints = endpoints(settings)
        if not self._endpoints:
            name = variable("runpod_endpoints")
            raise InvalidSetting(
                f"{name} names no endpoint",
                field=name,
                hint=f"{name}=Flux=abc123, with the id that RunPod shows for the endpoint.",
            )
        for name in self._endpoints:
            require_known_endpoint(name, routes)
        self._api = EndpointApi(settings, answer_s)

    def submit(self, route: str, payload: SpawnPayload) -> str:
        """Raises EngineUnavailable when RunPod takes no job, or has not answered in time. Such a
        job is not sent again under this claim: it may have gone through, and then finds its lease
        handed back."""
        endpoint = self._endpoint(route, payload.gpu)
        run_s = self._routes.route(route).platform_timeout_s
        life_s = self._spawned_s if payload.lease is None else payload.lease.ttl_s
        reply = self._api.post(
            f"{endpoint}/run",
            {
                "input": payload.model_dump(mode="json"),
                # Milliseconds. The ttl counts from now on, and ends jobs that run too.
                "policy": {
                    "executionTimeout": round(run_s * 1000),
                    "ttl": round((life_s + run_s) * 1000),
                },
            },
        )
        job = reply.get("id")
        if not isinstance(job, str):
            raise EngineUnavailable(f"RunPod's endpoint {endpoint} names no job in its answer")
        return call_id(endpoint, job)

    def cancel(self, call_id: str) -> None:
        """Best effort: a call that is unknown, or over, is none."""
        endpoint, _, job = call_id.partition("/")
        if not job or endpoint not in self._endpoints.values():
            return
        try:
            self._api.post(f"{endpoint}/cancel/{job}", None)
        except EngineUnavailable as error:
            structlog.get_logger(__name__).info("not_cancelled", call=call_id, why=error.message)

    def close(self) -> Sequence[SpawnPayload]:
        self._api.close()
        return ()

    def _endpoint(self, route: str, gpu: str | None) -> str:
        """A larger GPU has an endpoint of its own, or the route's has to do."""
        found = self._endpoints.get(f"{route}@{gpu}") or self._endpoints.get(route)
        if found is None:
            name = variable("runpod_endpoints")
            raise EngineUnavailable(
                f"{name} names no endpoint for {route}", hint=f"Add {route}=… to {name}."
            )
        return found


def require_known_endpoint(name: str, routes: RouteTable) -> None:
    """Raises InvalidSetting for a name of RYLA_RUNPOD_ENDPOINTS that is no route, or no GPU of
    it."""
    route, _, gpu = name.partition("@")
    where = {"field": variable("runpod_endpoints"), "source": "settings"}
    require_known([route], routes.routes, what="route", **where)
    if gpu:
        require_known([gpu], routes.route(route).gpus, what=f"GPU of the route {route}", **where)


def call_id(endpoint: str, job: str) -> str:
    """RunPod's name of an execution, with what is needed to cancel it."""
    return f"{endpoint}/{job}"


class EndpointApi:
    """Requests to an account's endpoints. Each raises EngineUnavailable. Nothing is repeated."""

    def __init__(self, settings: Settings, answer_s: float = ANSWER_S) -> None:
        """Raises InvalidSetting without a key."""
        if settings.runpod_api_key is None:
            name = variable("runpod_api_key")
            raise InvalidSetting(
                f"{name} is not set",
                field=name,
                hint="RunPod's console makes one under Settings, API Keys.",
            )
        key = settings.runpod_api_key.get_secret_value()
        self._client = httpx.Client(
            base_url=settings.runpod_url,
            headers={"Authorization": f"Bearer {key}"},
            timeout=answer_s,
        )

    def post(self, path: str, body: Mapping[str, Any] | None) -> Mapping[str, Any]:
        return self._ask("POST", path, body)

    def health(self, endpoint: str) -> Mapping[str, Any]:
        """Jobs and workers of an endpoint by their state."""
        return self._ask("GET", f"{endpoint}/health", None)

    def close(self) -> None:
        self._client.close()

    def _ask(self, method: str, path: str, body: Mapping[str, Any] | None) -> Mapping[str, Any]:
        try:
            reply = self._client.request(method, path, json=body)
        except httpx.HTTPError as error:
            why = str(error) or type(error).__name__
            raise EngineUnavailable(f"RunPod does not answer: {why}") from error
        if reply.is_success:
            return _json(reply)
        raise EngineUnavailable(
            f"RunPod answers {reply.status_code} to {method} {path}: {reply.text[:200]}",
            hint=HINTS.get(reply.status_code),
        )


HINTS = {
    401: "Look at RYLA_RUNPOD_API_KEY: RunPod does not take it.",
    403: "Give the key of RYLA_RUNPOD_API_KEY access to this endpoint.",
    404: "Look at RYLA_RUNPOD_ENDPOINTS: there is no such endpoint in this account.",
    429: "RunPod bounds the requests of an endpoint; they are taken again later.",
}


def _json(reply: httpx.Response) -> Mapping[str, Any]:
    try:
        found = reply.json()
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise EngineUnavailable(f"RunPod answers no JSON object: {reply.text[:200]}")
    return found
