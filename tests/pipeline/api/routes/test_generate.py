"""POST: every kind, both shapes of answer, replay, limits."""

import asyncio
import base64
import json
import socket
from collections.abc import AsyncIterator, Callable
from io import BytesIO
from typing import Any

import pytest
from httpx import Response
from PIL import Image

from config.errors import NodeFailed
from pipeline.api.dependencies import Timeouts
from pipeline.api.paths import GONE
from pipeline.contract.stops import ScopeKind, StopNote, StopScope
from pipeline.inputs.remote import ImageFetcher
from pipeline.queue.stops import put_stop
from pipeline.store.base import Always, OutcomeUnknown
from tests.pipeline.conftest import MakePipeline
from tests.support.api_fixture import SMALL, ApiFixture, bearer, keys
from tests.support.instant_comfyui import InstantServer, failing
from tests.support.jobs import a_lease
from tests.support.network import Network
from tests.support.pictures import plain_webp
from tests.support.pipeline_fixture import PipelineFixture

pytestmark = pytest.mark.anyio
Opened = Callable[..., ApiFixture]


@pytest.fixture
async def opened(make_pipeline: MakePipeline) -> AsyncIterator[Opened]:
    """Desks over yards with other settings."""
    desks: list[ApiFixture] = []

    def make(timeouts: Timeouts | None = None, **settings: Any) -> ApiFixture:
        pipeline = make_pipeline(**settings)
        desks.append(ApiFixture(pipeline) if timeouts is None else ApiFixture(pipeline, timeouts))
        return desks[-1]

    yield make
    for api in desks:
        await api.__aexit__()


def problem(answer: Response) -> dict[str, Any]:
    assert answer.headers["content-type"] == "application/problem+json"
    told: dict[str, Any] = answer.json()
    assert told["status"] == answer.status_code
    assert told["detail"]
    assert told["request_id"] == answer.headers["x-request-id"]
    return told


async def test_a_job_is_taken_into_the_inbox_and_the_dispatcher_hears_of_it(
    api: ApiFixture,
) -> None:
    answer = await api.post()

    job = answer.json()
    assert answer.status_code == 202
    assert answer.headers["location"] == f"/jobs/{job['id']}"
    assert int(answer.headers["retry-after"]) > 0
    assert answer.headers["preference-applied"] == "wait=0"
    assert (job["state"], job["status"], job["result"]) == ("waiting", None, None)
    (key,) = api.pipeline.keys("inbox/")
    assert api.changed_keys == [key]
    assert api.manifest(key)["input"] == SMALL


async def sheet_within(api: ApiFixture) -> dict[str, Any]:
    """A sheet whose budget is enough for each view once, and not for all tries."""
    sheet = {"name": "Ann", "lora_id": "ann"}
    estimate = (await api.post("/character-sheet", json=sheet)).json()["estimate"]
    return sheet | {"max_cost_usd": (estimate["usd"] + estimate["most_usd"]) / 2}


async def test_whoever_sends_a_job_is_told_its_estimate_and_what_its_budget_may_not_last_for(
    idle_desk: ApiFixture,
) -> None:
    sheet = await sheet_within(idle_desk)
    sent = (await idle_desk.post("/character-sheet", json=sheet)).json()

    assert sent["estimate"]["gpu"] == "L40S"
    assert sent["estimate"]["usd"] < sheet["max_cost_usd"] < sent["estimate"]["most_usd"]
    assert sent["estimate"]["seconds"] < sent["estimate"]["most_seconds"]
    (warning,) = sent["warnings"]
    assert warning.startswith("it may end as a partial sheet: the estimate is $")
    later = (await idle_desk.client.get(f"/jobs/{sent['id']}")).json()
    assert not {"estimate", "warnings"} & later.keys()


async def test_a_redirect_to_a_sheet_s_picture_has_the_warning_in_a_header(opened: Opened) -> None:
    api = opened(Timeouts(look=0.01, first_look=0.0, image_wait=0.05))
    sheet = await sheet_within(api)
    answer = await api.post("/character-sheet", json=sheet, prefer=None, accept="image/*")
    assert answer.status_code == 303
    assert answer.headers["x-warning"].startswith("it may end as a partial sheet")


async def test_a_job_below_its_estimate_is_told_that_it_will_be_refused(api: ApiFixture) -> None:
    dear = SMALL | {"max_cost_usd": 0.000001}
    (warning,) = (await api.post(json=dear)).json()["warnings"]
    assert warning.startswith("it will be refused: the estimate of $")
    again = await api.ticks_until(asyncio.create_task(api.post(json=dear, prefer="wait=30")))
    assert again.json()["result"]["error"]["code"] == "over_budget"


async def test_a_job_that_an_operator_has_stopped_is_taken_in_and_told_that_it_waits(
    api: ApiFixture,
) -> None:
    put_stop(api.pipeline.store, StopScope(ScopeKind.KIND, "flux-dev"), StopNote())
    answer = await api.post()
    assert answer.status_code == 202
    (warning,) = answer.json()["warnings"]
    assert warning == "it is taken in and waits: an operator has stopped kind flux-dev"


async def test_a_job_that_has_ended_is_not_told_to_wait_for_a_stop(api: ApiFixture) -> None:
    await api.post(Idempotency_Key="order-1")
    await api.tick()
    put_stop(api.pipeline.store, StopScope(ScopeKind.ALL), StopNote())
    again = await api.post(Idempotency_Key="order-1")
    assert again.json()["state"] == "finished"
    assert not again.json().get("warnings")
    other = await api.post(Idempotency_Key="order-2")
    assert "an operator has stopped all jobs" in other.json()["warnings"][0]


async def test_who_waits_gets_the_result(api: ApiFixture) -> None:
    asking = asyncio.create_task(api.post(prefer="wait=30"))

    answer = await api.ticks_until(asking)

    job = answer.json()
    assert answer.status_code == 200
    assert (job["state"], job["status"], job["model"]) == ("finished", "succeeded", "flux-dev")
    assert job["outputs"] == [f"/jobs/{job['id']}/outputs/0"]
    assert job["result"]["outputs"][0]["width"] == 256
    assert not {"events", "nonce"} & set(job["result"])


async def test_a_wait_that_was_too_short_is_answered_with_where_to_ask(
    idle_desk: ApiFixture,
) -> None:
    answer = await idle_desk.post(prefer="wait=0")
    assert answer.status_code == 202

    answer = await idle_desk.post(prefer="respond-async")
    assert answer.status_code == 202
    assert "preference-applied" not in answer.headers


@pytest.mark.parametrize(("path", "kind"), [("/flux-dev", "flux-dev"), ("/flux", "flux-schnell")])
async def test_old_clients_get_the_picture_and_what_it_cost(
    api: ApiFixture, path: str, kind: str
) -> None:
    answer = await api.ticks_until(
        asyncio.create_task(api.post(path, prefer=None, json={**SMALL, "cfg": 1.0}, Accept="*/*"))
    )

    assert answer.status_code == 200
    assert answer.headers["content-type"] == "image/png"
    assert Image.open(BytesIO(answer.content)).size == (256, 256)
    assert len(answer.headers["x-cost-usd"].partition(".")[2]) == 6
    assert len(answer.headers["x-execution-time-sec"].partition(".")[2]) == 3
    assert answer.headers["x-gpu-type"] == "none"
    assert answer.headers["x-model"] == kind
    assert "x-warning" not in answer.headers
    assert answer.headers["cache-control"] == "no-store"


async def test_the_content_type_is_the_true_one_and_warnings_stand_in_a_header(
    api: ApiFixture,
) -> None:
    body = {**SMALL, "output_format": "jpeg", "negative_prompt": "ugly", "cfg": 3.5}

    answer = await api.ticks_until(
        asyncio.create_task(api.post(prefer=None, json=body, Accept="image/*"))
    )

    assert answer.headers["content-type"] == "image/jpeg"
    assert Image.open(BytesIO(answer.content)).format == "JPEG"
    assert "negative_prompt has no effect" in answer.headers["x-warning"]
    assert "cfg 3.5 was read as guidance" in answer.headers["x-warning"]


async def test_a_picture_that_takes_long_is_sent_on_and_never_a_202(
    make_pipeline: MakePipeline,
) -> None:
    async with ApiFixture(make_pipeline(holding=True), Timeouts(look=0.01, image_wait=0.02)) as api:
        answer = await api.post(prefer=None)

        assert answer.status_code == 303
        assert answer.content == b""
        assert answer.headers["location"].endswith("/outputs/0?wait=120&left=180")


def test_all_the_waits_of_an_old_client_are_five_minutes() -> None:
    assert Timeouts().image_wait + 120 + 50 == 300
    assert Timeouts().image_wait < 140


async def test_a_picture_with_a_preference_is_waited_for_as_preferred(
    idle_desk: ApiFixture,
) -> None:
    answer = await idle_desk.post(prefer="wait=0", Accept="image/png")

    assert answer.status_code == 202
    assert answer.headers["content-type"] == "application/json"


async def test_a_preference_may_stand_on_several_lines(idle_desk: ApiFixture) -> None:
    lines = [("Prefer", "respond-async"), ("Prefer", "wait=0")]

    answer = await idle_desk.client.post("/flux-dev", json=SMALL, headers=lines)

    assert answer.headers["Preference-Applied"] == "wait=0"


async def test_two_keys_for_one_request_are_refused(idle_desk: ApiFixture) -> None:
    lines = [("Idempotency-Key", "a"), ("Idempotency-Key", "b")]

    answer = await idle_desk.client.post("/flux-dev", json=SMALL, headers=lines)

    assert (answer.status_code, answer.json()["field"]) == (400, "Idempotency-Key")
    assert not idle_desk.pipeline.keys()


async def test_a_job_that_failed_is_a_problem_where_a_picture_was_asked_for(
    make_pipeline: MakePipeline,
) -> None:
    server = InstantServer(failing(NodeFailed("KSampler broke", hint="Look at the log.")))
    async with ApiFixture(make_pipeline(server=server)) as api:
        answer = await api.ticks_until(asyncio.create_task(api.post(prefer=None)))

        told = problem(answer)
        assert (answer.status_code, told["code"], told["detail"]) == (
            502,
            "node_failed",
            "KSampler broke",
        )
        job = (await api.client.get(f"/jobs/{told['job']}")).json()
        assert job["status"] == "failed"


async def test_a_refused_job_is_a_result_for_some_and_a_problem_for_others(api: ApiFixture) -> None:
    dear = {**SMALL, "max_cost_usd": 0.000001}

    asked = asyncio.create_task(api.post(json=dear, prefer="wait=30"))
    told = (await api.ticks_until(asked)).json()
    assert (told["status"], told["result"]["error"]["code"]) == ("rejected", "over_budget")

    asked = asyncio.create_task(api.post(json=dear, prefer=None))
    assert (await api.ticks_until(asked)).status_code == 402


async def test_a_job_refused_later_names_the_field_as_the_body_has_it(api: ApiFixture) -> None:
    strange = {"workflow": {"1": {"class_type": "Unlisted", "inputs": {}}}}

    asked = asyncio.create_task(api.post("/workflow", json=strange, prefer=None))
    answer = await api.ticks_until(asked)

    assert (answer.status_code, problem(answer)["code"]) == (422, "graph_rejected")
    assert problem(answer)["field"] == "workflow.1"


@pytest.mark.parametrize(
    ("body", "field", "hint"),
    [
        ({"promt": "a fox"}, "promt", "Did you mean 'prompt'?"),
        ({"prompt": "a fox", "steps": 0}, "steps", None),
        ({"prompt": "a fox", "tenant": "zenith"}, "tenant", None),
    ],
)
async def test_a_wrong_body_is_refused_with_its_field(
    api: ApiFixture, body: dict[str, Any], field: str, hint: str | None
) -> None:
    answer = await api.post(json=body)

    told = problem(answer)
    assert answer.status_code == 422
    assert told["field"] == field
    assert hint is None or told["hint"] == hint


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/flux-instantid", "reference_image is required"),
        ("/sdxl-instantid", "reference_image is required"),
        ("/flux-lora", "lora_id or lora_name is required"),
        ("/flux-dev-lora", "lora_id or lora_name is required"),
    ],
)
async def test_what_is_missing_is_told_as_older_clients_know_it(
    api: ApiFixture, path: str, said: str
) -> None:
    answer = await api.post(path, json={"prompt": "a fox"}, prefer=None)

    assert (answer.status_code, problem(answer)["detail"]) == (400, said)
    assert api.pipeline.keys() == []


async def test_several_wrong_fields_are_all_told(api: ApiFixture) -> None:
    told = problem(await api.post(json={"prompt": "a fox", "steps": 0, "width": 17}))

    assert {told["field"], *(each["field"] for each in told["also"])} == {"steps", "width"}


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b"{", "application/json", 400),
        (b"[]", "application/json", 400),
        (b"{}", "text/plain", 415),
        (b"prompt=x", "application/x-www-form-urlencoded", 415),
        (b'{"prompt": "a fox"}', "application/json; charset=utf-8", 202),
    ],
)
async def test_bodies_are_json_and_called_so(
    api: ApiFixture, content: bytes, kind: str, status: int
) -> None:
    answer = await api.post(content=content, Content_Type=kind)

    assert answer.status_code == status


async def test_a_query_is_refused(api: ApiFixture) -> None:
    assert (await api.post("/flux-dev?steps=3")).status_code == 400


@pytest.mark.parametrize("chunked", [True, False])
async def test_a_large_body_is_refused_while_it_is_read(opened: Opened, chunked: bool) -> None:
    api = opened(api_body_mib=1)
    sent = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(32):
            sent += 1
            yield b" " * 2**18

    answer = await api.post(content=body() if chunked else b" " * (2**20 + 1))

    assert problem(answer)["code"] == "body_too_large"
    assert answer.status_code == 413


async def test_the_same_key_and_body_is_the_same_job(api: ApiFixture) -> None:
    first = await api.post(Idempotency_Key="order-1")
    again = await api.post(Idempotency_Key="order-1", json=dict(reversed(SMALL.items())))

    assert first.json()["id"] == again.json()["id"]
    assert again.status_code == 202
    assert "idempotency-replayed" not in first.headers
    assert again.headers["idempotency-replayed"] == "true"
    await api.tick()

    later = await api.post(Idempotency_Key="order-1")
    assert (later.status_code, later.json()["status"]) == (200, "succeeded")
    assert api.pipeline.keys("inbox/") == []


@pytest.mark.parametrize(
    ("path", "change"),
    [("/flux-dev", {"steps": 3}), ("/flux-dev", {"priority": 9}), ("/flux-schnell", {})],
)
@pytest.mark.parametrize("when", ["waiting", "finished", "after a restart"])
async def test_the_same_key_with_another_body_is_a_conflict(
    api: ApiFixture, path: str, change: dict[str, Any], when: str
) -> None:
    await api.post(Idempotency_Key="order-1")
    if when == "finished":
        await api.tick()
    asked = ApiFixture(api.pipeline) if when == "after a restart" else api

    answer = await asked.post(path, json={**SMALL, **change}, Idempotency_Key="order-1")

    assert answer.status_code == 409
    assert problem(answer)["code"] == "id_conflict"
    assert len(api.pipeline.keys("inbox/")) == (when != "finished")


async def test_of_many_bodies_under_one_key_at_once_exactly_one_is_taken(api: ApiFixture) -> None:
    bodies = [{**SMALL, "seed": n % 4, "priority": n % 4} for n in range(16)]

    answers = await asyncio.gather(
        *(api.post(json=body, Idempotency_Key="order-1") for body in bodies)
    )

    taken = [body for body, answer in zip(bodies, answers, strict=True) if answer.is_success]
    assert {answer.status_code for answer in answers} == {202, 409}
    assert all(body == taken[0] for body in taken)
    assert len(taken) == 4
    (key,) = api.pipeline.keys("inbox/")
    assert api.manifest(key)["input"]["seed"] == taken[0]["seed"]


async def test_a_job_whose_taker_died_between_two_writes_is_taken_by_the_replay(
    api: ApiFixture,
) -> None:
    first = await api.post(Idempotency_Key="order-1")
    (key,) = api.pipeline.keys("inbox/")
    api.pipeline.store.delete(key)

    again = await ApiFixture(api.pipeline).post(Idempotency_Key="order-1")

    assert again.json()["id"] == first.json()["id"]
    assert api.pipeline.keys("inbox/") == [key]


async def test_without_a_key_every_request_is_a_new_job(api: ApiFixture) -> None:
    ids = {(await api.post()).json()["id"] for _ in range(3)}

    assert len(ids) == len(api.pipeline.keys("inbox/")) == 3


async def test_tenants_do_not_see_each_other_even_under_the_same_key(opened: Opened) -> None:
    api = opened(api_keys=keys(acme="a", zenith="z"))

    mine = await api.post(Idempotency_Key="k", **bearer("a"))
    theirs = await api.post(Idempotency_Key="k", **bearer("z"), json={"prompt": "an owl"})

    assert mine.json()["id"] != theirs.json()["id"]
    assert {api.manifest(key)["tenant"] for key in api.pipeline.keys("inbox/")} == {
        "acme",
        "zenith",
    }


async def test_a_key_is_needed_where_keys_are_configured(opened: Opened) -> None:
    api = opened(api_keys=keys(acme="a"))

    answer = await api.post()

    assert problem(answer)["code"] == "not_authenticated"
    assert answer.headers["www-authenticate"] == "Bearer"


async def test_too_many_requests_are_told_when_to_come_again(opened: Opened) -> None:
    api = opened(api_requests_per_minute=2)
    answers = [await api.post() for _ in range(3)]

    assert [answer.status_code for answer in answers] == [202, 202, 429]
    assert int(answers[-1].headers["retry-after"]) >= 1


async def test_too_many_jobs_of_a_tenant_are_refused_until_some_are_finished(
    opened: Opened,
) -> None:
    api = opened(api_jobs_per_tenant=2, api_keys=keys(acme="a", zenith="z"))
    answers = [await api.post(**bearer("a")) for _ in range(3)]

    assert [answer.status_code for answer in answers] == [202, 202, 429]
    assert int(answers[-1].headers["retry-after"]) >= 1
    assert (await api.post(**bearer("z"))).status_code == 202

    await api.tick()
    await api.service.job_listing.look(since=api.service.job_listing.monotonic())
    assert (await api.post(**bearer("a"))).status_code == 202


async def test_jobs_that_wait_for_posthog_alone_are_not_too_many(opened: Opened) -> None:
    api = opened(api_jobs_per_tenant=2, api_keys=keys(acme="a"))
    for n in range(2):
        lease = a_lease(id=f"over-{n}", entry=f"inbox/over-{n}.json", committed=True)
        api.pipeline.raw._store.put(f"leases/over-{n}.json", lease.body(), Always())

    answers = [await api.post(**bearer("a")) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [202, 202, 429]


async def test_too_many_jobs_at_once_are_too_many_as_well(opened: Opened) -> None:
    api = opened(api_jobs_per_tenant=3)

    answers = await asyncio.gather(*(api.post() for _ in range(20)))

    assert sum(answer.status_code == 202 for answer in answers) <= 3
    assert {answer.status_code for answer in answers} == {202, 429}
    assert len(api.pipeline.keys("inbox/")) <= 3


async def test_a_kind_to_come_is_not_available(api: ApiFixture) -> None:
    answer = await api.post("/wan-t2v")

    assert answer.status_code == 501
    assert "Available now" in problem(answer)["hint"]


@pytest.mark.parametrize("gone", GONE, ids=lambda gone: gone.path)
async def test_a_path_that_is_no_more_says_what_to_use(api: ApiFixture, gone: Any) -> None:
    answer = await api.post(gone.path, json={})

    assert answer.status_code == 410
    assert problem(answer)["hint"] == gone.instead


async def test_a_store_that_is_away_is_a_503_that_says_when_to_come_again(api: ApiFixture) -> None:
    api.pipeline.raw.fail = lambda call, key: OutcomeUnknown("no route to 10.0.0.7")

    answer = await api.post()

    assert problem(answer)["code"] == "store_unavailable"
    assert "10.0.0.7" not in answer.text
    assert answer.headers["retry-after"]


async def test_what_is_written_down_for_the_log_is_not_told(api: ApiFixture) -> None:
    def burst(key: str | None) -> None:
        raise RuntimeError("secret-of-the-house")

    object.__setattr__(api.dependencies, "notify", burst)

    answer = await api.post()

    assert problem(answer)["code"] == "internal"
    assert answer.status_code == 500
    assert "secret-of-the-house" not in json.dumps(answer.json())


# Pictures


def with_picture(picture: bytes) -> dict[str, str]:
    url = f"data:image/png;base64,{base64.b64encode(picture).decode()}"
    return {"prompt": "a portrait", "reference_image": url}


async def hung_up_upon(api: ApiFixture, body: dict[str, str], is_so: Callable[[], bool]) -> None:
    """A request whose client goes once that is so, and is told nothing."""
    raw = json.dumps(body).encode()
    asked = [{"type": "http.request", "body": raw, "more_body": False}]

    async def receive() -> Any:
        if asked:
            return asked.pop()
        await api.until(is_so)
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        answers.append(message)

    answers: list[Any] = []
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(raw)).encode())]
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/flux-instantid",
        "raw_path": b"/flux-instantid",
        "query_string": b"",
        "headers": [(b"host", b"127.0.0.1"), *headers],
        "client": ("127.0.0.1", 50_000),
        "server": ("127.0.0.1", 80),
        "scheme": "http",
        "http_version": "1.1",
        "asgi": {"version": "3.0"},
    }
    await api.app(scope, receive, send)
    assert answers == []


async def test_who_hangs_up_ends_the_decoding_of_their_picture(api: ApiFixture) -> None:
    pictures = api.dependencies.pictures
    pictures.intake(encoded())  # its child is there

    await hung_up_upon(api, with_picture(plain_webp(4400, 4400)), pictures._turn.locked)

    assert not pictures._turn.locked()
    assert api.pipeline.keys("inbox/") == []
    assert api.pipeline.keys("inputs/") == []
    taken = await api.post("/flux-instantid", json=with_picture(encoded()))
    assert taken.status_code == 202


async def test_who_hangs_up_ends_the_fetch_of_their_picture_and_frees_its_place(
    pipeline: PipelineFixture,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes connections, and says nothing
        network = Network(silent.getsockname()[1])
        fetch = ImageFetcher(frozenset({"pics.example.com"}), network.web()).fetch
        async with ApiFixture(pipeline, fetch=fetch) as api:
            body = {"prompt": "a portrait", "reference_image": "https://pics.example.com/face.png"}
            async with asyncio.timeout(5):  # the host has 20 s
                await hung_up_upon(api, body, lambda: bool(network.connected))
            assert api.service.intakes._taken.total() == 0


def encoded() -> bytes:
    file = BytesIO()
    Image.new("RGB", (8, 8), "red").save(file, "PNG")
    return file.getvalue()


async def test_a_key_is_taken_from_the_tenant_that_sent_its_picture_and_from_nobody_else(
    opened: Opened,
) -> None:
    api = opened(api_keys=keys(acme="a", zenith="z"))
    sent = await api.post("/flux-instantid", json=with_picture(encoded()), **bearer("a"))
    assert sent.status_code == 202
    (key,) = api.pipeline.keys("inputs/")
    again = {"prompt": "a portrait", "reference_image": key}

    own = await api.post("/flux-instantid", json=again, **bearer("a"))
    others = await api.post("/flux-instantid", json=again, **bearer("z"))
    absent = {**again, "reference_image": "inputs/" + "0" * 64 + ".png"}
    missing = await api.post("/flux-instantid", json=absent, **bearer("z"))

    assert own.status_code == 202
    for answer in (others, missing):
        assert problem(answer)["code"] == "missing_input"
        assert problem(answer)["field"] == "reference_image"
    assert api.pipeline.keys("intake/") == [f"intake/acme/{key[7:71]}"]


async def test_a_key_that_no_intake_wrote_is_refused_over_http(api: ApiFixture) -> None:
    api.pipeline.raw._store.put("inputs/ann.png", encoded(), Always())

    answer = await api.post(
        "/flux-instantid", json={"prompt": "a portrait", "reference_image": "inputs/ann.png"}
    )

    assert problem(answer)["code"] == "missing_input"
