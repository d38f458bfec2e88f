"""Both clients and a real server, from the request to the picture."""

import asyncio
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import httpx
import pytest
from PIL import Image

from ryla_client import (
    AsyncClient,
    BadRequest,
    Client,
    Conflict,
    JobRejected,
    NotAllowed,
    NotFound,
    Retries,
    StillRunning,
)
from ryla_client.requests import FluxDev, FluxSchnell
from tests.clients.conftest import Api

pytestmark = pytest.mark.xdist_group("clients")

A_CAT: FluxDev = {"model": "flux-dev", "prompt": "a cat", "width": 256, "height": 256}


@pytest.fixture
def ryla(api: Api) -> Iterator[Client]:
    with Client(api.url, api.key) as client:
        yield client


def test_a_picture_in_one_call(ryla: Client, tmp_path: Path) -> None:
    job = ryla.generate({**A_CAT, "seed": 0, "num_images": 2})

    paths = ryla.save(job, tmp_path / "cat.png")

    assert (job.status, job.result["seed"], job.result["model"]) == ("succeeded", 0, "flux-dev")
    assert paths == [tmp_path / "cat.png", tmp_path / "cat-2.png"]
    for path, output in zip(paths, job.result["outputs"], strict=True):
        with Image.open(path) as picture:
            assert picture.size == (output["width"], output["height"]) == (256, 256)


def test_many_at_once(api: Api) -> None:
    async def all_of_them() -> list[str | None]:
        async with AsyncClient(api.url, api.key) as client:
            prompts = ("a fox", "a boat", "a kite")
            requests = [FluxSchnell(model="flux-schnell", prompt=each) for each in prompts]
            jobs = await asyncio.gather(*(client.generate(each) for each in requests))
            assert len(await client.output(jobs[0])) == jobs[0].result["outputs"][0]["bytes"]
            return [job.status for job in jobs]

    assert asyncio.run(all_of_them()) == ["succeeded"] * 3


def test_progress_ends_with_the_job_and_goes_on_where_it_was_left(api: Api, ryla: Client) -> None:
    with api.busy():
        job = ryla.submit(A_CAT)
        seen = ryla.progress(job)
        first = next(seen)
        assert first.state in ("waiting", "claimed")
        assert job.id in [each.id for each in ryla.jobs()]
    *_, last = seen

    assert last.succeeded
    assert last.result == ryla.wait(job.id).result


def test_the_same_key_is_the_same_job(ryla: Client) -> None:
    first = ryla.generate(A_CAT, idempotency_key="the-cat")

    assert ryla.submit(A_CAT, idempotency_key="the-cat").id == first.id
    with pytest.raises(Conflict) as raised:
        ryla.submit({**A_CAT, "steps": 3}, idempotency_key="the-cat")
    assert raised.value.idempotency_key == "the-cat"
    assert ryla.submit(A_CAT).id != first.id


class Forgetful(httpx.HTTPTransport):
    """Delivers every request, and loses the first answers."""

    def __init__(self, lost: int) -> None:
        super().__init__()
        self._lost = lost
        self._count = count()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        response = super().handle_request(request)
        if next(self._count) < self._lost:
            response.close()
            raise httpx.ReadError("the answer was lost", request=request)
        return response


def test_lost_answers_make_no_second_job(api: Api) -> None:
    before = api.jobs()
    retries = Retries(first_pause=0)

    with Client(api.url, api.key, retries=retries, transport=Forgetful(3)) as client:
        assert client.generate(A_CAT).succeeded

    assert api.jobs() == before + 1


def test_a_waiting_job_is_cancelled_and_a_finished_one_is_not(api: Api, ryla: Client) -> None:
    with api.busy():
        job = ryla.submit(A_CAT)
        with pytest.raises(StillRunning) as raised:
            ryla.wait(job, timeout=0.1)
        assert raised.value.job_id == job.id
        assert ryla.cancel(job).status == "cancelled"

    assert ryla.cancel(ryla.generate(A_CAT)).status == "succeeded"


def test_a_refusal_says_what_to_change(ryla: Client) -> None:
    with pytest.raises(BadRequest) as raised:
        ryla.submit({"model": "flux-dev", "promt": "a cat"})  # type: ignore[arg-type]

    error = raised.value
    assert (error.code, error.field, error.hint) == (
        "unknown_field",
        "promt",
        "Did you mean 'prompt'?",
    )
    assert error.request_id
    assert error.idempotency_key


def test_a_job_that_is_refused_later_is_raised_with_its_result(ryla: Client) -> None:
    with pytest.raises(JobRejected) as raised:
        ryla.generate({**A_CAT, "max_cost_usd": 0.000001})

    assert raised.value.code == "over_budget"
    assert raised.value.job.result["status"] == "rejected"


def test_a_stranger_finds_nothing(api: Api, ryla: Client) -> None:
    with Client(api.url, "ryla_other") as stranger, pytest.raises(NotAllowed):
        stranger.jobs()
    with pytest.raises(NotFound):
        ryla.job("nobody-s")


def test_what_there_is(ryla: Client) -> None:
    assert ryla.health()["status"] == "healthy"
    assert "flux-dev" in [each["name"] for each in ryla.models()["models"]]
    assert ryla.loras().keys() == {"loras", "count"}
