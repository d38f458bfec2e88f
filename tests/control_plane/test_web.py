"""What ran: the HTTP API in its container, reached through the platform's own ASGI wrapper."""

import hashlib
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from pipeline.contract.result import Status
from tests.support.deployed_app import API_KEY, DOORBELL, Deployed, ref_of
from tests.support.stack import wait_until

pytestmark = pytest.mark.xdist_group("deployed")

SMALL = {"prompt": "a cat on a wall", "width": 256, "height": 256, "steps": 2}


@pytest.fixture(scope="module")
def http(ryla: Deployed) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {API_KEY}", "Accept": "application/json"}
    with httpx.Client(base_url=ryla.api, headers=headers, timeout=60) as client:
        yield client


def claimed_by(ryla: Deployed, id: str) -> str:
    (run,) = ryla.runs(id)
    lease = ref_of(run).lease
    assert lease is not None
    return lease.owner


def pid_of(ryla: Deployed, function: str) -> int:
    (container,) = ryla.plane.containers(function)
    return ryla.plane.pid(container.id)


def events(lines: Iterator[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Names and documents, as they come."""
    name = ""
    for line in lines:
        key, _, value = line.partition(": ")
        if key == "event":
            name = value
        elif key == "data":
            yield name, json.loads(value)


def test_ran_health_tells_the_deployed_version(ryla: Deployed) -> None:
    answer = httpx.get(f"{ryla.api}/health", timeout=60)
    assert answer.status_code == 200
    assert answer.json()["version"] == ryla.app.functions["api"].env["RYLA_APP_VERSION"]


def test_ran_the_app_asks_for_a_key_itself(ryla: Deployed) -> None:
    answer = httpx.post(f"{ryla.api}/flux-dev", json=SMALL, timeout=60)
    assert (answer.status_code, answer.json()["code"]) == (401, "not_authenticated")


def test_ran_what_is_posted_is_claimed_by_the_api_itself(
    ryla: Deployed, http: httpx.Client
) -> None:
    with ryla.without_schedule():
        answer = http.post("/flux-dev", json=SMALL, headers={"Prefer": "wait=60"})
    assert answer.status_code == 200, answer.text
    job = answer.json()
    assert claimed_by(ryla, job["id"]).endswith(f":{pid_of(ryla, 'api')}")
    (output,) = ryla.result(job["id"]).outputs
    picture = http.get(f"/jobs/{job['id']}/outputs/0", headers={"Accept": "image/*"})
    assert hashlib.sha256(picture.content).hexdigest() == output.sha256


def test_ran_the_doorbell_has_the_bucket_looked_at(ryla: Deployed, http: httpx.Client) -> None:
    with ryla.without_schedule():
        ryla.submit("rung")
        assert http.post(f"/doorbell/{DOORBELL}").status_code == 202
        assert ryla.result("rung", 60).status is Status.SUCCEEDED
    assert claimed_by(ryla, "rung").endswith(f":{pid_of(ryla, 'api')}")


def test_ran_progress_streams_and_a_cancel_frees_the_container(
    ryla: Deployed, http: httpx.Client
) -> None:
    slow = {**SMALL, "prompt": "a cat [[fault:slow=60]]", "steps": 50}
    id = http.post("/flux-dev", json=slow).json()["id"]
    ryla.wait_running(id, 60)
    with http.stream("GET", f"/jobs/{id}/events") as answer:
        coming = events(answer.iter_lines())
        assert next(coming)[0] == "progress"
        assert http.delete(f"/jobs/{id}").status_code == 200
        *_, (name, last) = coming
    assert (name, last["status"]) == ("finished", "cancelled")
    (run,) = ryla.runs(id)
    assert ryla.plane.outcome(run)["ending"] == "stale"
    assert wait_until(lambda: run.container in [c.id for c in ryla.plane.containers("Flux")])
