"""`/jobs`: looked at, listed, fetched, cancelled."""

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from httpx import Response
from starlette.types import Message

from config.errors import BudgetSpent
from pipeline.api.dependencies import Timeouts
from pipeline.api.lookup import KEPT_S
from pipeline.api.wait_reasons import FRESH_S
from pipeline.contract.error_info import error_info
from pipeline.contract.keys import lease_key, result_key
from pipeline.contract.lease import Phase, Progress
from pipeline.contract.result import ResultFile
from pipeline.erasure.scope import Wish
from pipeline.store.base import Always
from tests.pipeline.conftest import MakePipeline
from tests.support.api_fixture import QUICK, SMALL, ApiFixture, bearer, keys
from tests.support.begun_sheets import put_begun_sheet
from tests.support.erasures import eraser
from tests.support.manifests import body

pytestmark = pytest.mark.anyio


async def posted(api: ApiFixture, **options: Any) -> str:
    id: str = (await api.post(**options)).json()["id"]
    return id


async def finished(api: ApiFixture, **options: Any) -> str:
    id = await posted(api, **options)
    await api.tick()
    return id


async def get(api: ApiFixture, path: str, **headers: str) -> Response:
    return await api.client.get(path, headers=headers)


async def test_a_job_is_shown_from_the_inbox_to_its_result(make_pipeline: MakePipeline) -> None:
    pipeline = make_pipeline(holding=True)
    async with ApiFixture(pipeline) as api:
        id = await posted(api)
        waits = await get(api, f"/jobs/{id}")
        assert (waits.status_code, waits.json()["state"]) == (200, "waiting")
        assert waits.headers["retry-after"]

        await api.tick()
        claimed = (await get(api, f"/jobs/{id}")).json()
        assert (claimed["state"], claimed["attempt"], claimed["model"]) == (
            "claimed",
            1,
            "flux-dev",
        )

        progress = Progress(fraction=0.5, step="KSampler")
        lease = pipeline.lease(id).with_(phase=Phase.RUNNING, progress=progress)
        pipeline.raw._store.put(lease_key(id), lease.body(), Always())
        runs = (await get(api, f"/jobs/{id}")).json()
        assert (runs["state"], runs["progress"]) == (
            "running",
            {"fraction": 0.5, "step": "KSampler", "views": {}},
        )


async def test_a_finished_job_has_its_result_and_is_read_once(api: ApiFixture) -> None:
    id = await finished(api)
    first = await get(api, f"/jobs/{id}")
    calls = api.pipeline.raw.calls.copy()

    again = await get(api, f"/jobs/{id}")

    assert first.json()["status"] == "succeeded"
    assert first.json()["result"]["cost"]["usd"] == 0.0
    assert again.json() == first.json()
    assert "retry-after" not in again.headers
    assert api.pipeline.raw.calls == calls


async def test_a_job_can_be_waited_for_afterwards(api: ApiFixture) -> None:
    id = await posted(api)

    asking = asyncio.create_task(get(api, f"/jobs/{id}", Prefer="wait=30"))
    answer = await api.ticks_until(asking)

    assert answer.headers["preference-applied"] == "wait=30"
    assert answer.json()["state"] == "finished"


async def with_files(api: ApiFixture) -> str:
    """A finished job that has a file beside its picture."""
    id = await finished(api)
    document = b'{"v": 1}'
    told = ResultFile(
        name="sheet.json",
        key=f"jobs/{id}/out/a1/sheet.json",
        bytes=len(document),
        sha256=hashlib.sha256(document).hexdigest(),
        content_type="application/json",
    )
    result = api.pipeline.result(id).model_copy(update={"files": (told,)})
    api.pipeline.raw._store.put(told.key, document, Always())
    api.pipeline.raw._store.put(result_key(id), result.body(), Always())
    return id


async def test_a_file_beside_the_pictures_is_had_by_its_name(api: ApiFixture) -> None:
    id = await with_files(api)
    job = (await get(api, f"/jobs/{id}")).json()
    answer = await get(api, job["files"][0])

    assert job["files"] == [f"/jobs/{id}/files/sheet.json"]
    assert len(job["outputs"]) == 1
    assert answer.json() == {"v": 1}
    assert answer.headers["content-type"] == "application/json"
    known = await get(api, job["files"][0], **{"If-None-Match": answer.headers["etag"]})
    assert known.status_code == 304
    head = await api.client.head(job["files"][0])
    assert (head.headers["content-length"], head.content) == ("8", b"")


@pytest.mark.parametrize("name", ["other.json", "..%2Fresult.json", "metrics.json"])
async def test_a_file_that_the_result_does_not_list_is_not_had(api: ApiFixture, name: str) -> None:
    id = await with_files(api)
    answer = await get(api, f"/jobs/{id}/files/{name}")

    assert answer.status_code == 404
    assert answer.json()["code"] in ("no_such_file", "no_such_path")


async def test_a_job_that_runs_has_no_files_yet(api: ApiFixture) -> None:
    id = await posted(api)
    answer = await get(api, f"/jobs/{id}/files/sheet.json")

    assert (answer.status_code, answer.json()["code"]) == (409, "not_finished")


@pytest.mark.parametrize("id", ["nobody", "UPPER", "a.b", "-", "x" * 97, "%2e%2e"])
@pytest.mark.parametrize("rest", ["", "/events", "/outputs/0", "/files/sheet.json"])
async def test_what_is_no_job_is_unknown(api: ApiFixture, id: str, rest: str) -> None:
    answer = await get(api, f"/jobs/{id}{rest}")

    assert (answer.status_code, answer.json()["code"]) == (404, "unknown_job")


async def test_another_process_s_job_is_found_the_moment_it_is_there(api: ApiFixture) -> None:
    await get(api, "/jobs")
    id = await posted(ApiFixture(api.pipeline))

    assert (await get(api, f"/jobs/{id}")).json()["state"] == "waiting"


@pytest.fixture
async def two(make_pipeline: MakePipeline) -> AsyncIterator[ApiFixture]:
    """Tenants acme (key a) and zenith (key z)."""
    async with ApiFixture(make_pipeline(api_keys=keys(acme="a", zenith="z"))) as api:
        yield api


@pytest.mark.parametrize("when", ["waiting", "claimed", "finished"])
async def test_another_tenant_s_job_is_unknown_in_every_state(
    make_pipeline: MakePipeline, when: str
) -> None:
    pipeline = make_pipeline(api_keys=keys(acme="a", zenith="z"), holding=when == "claimed")
    async with ApiFixture(pipeline) as api:
        id = await posted(api, **bearer("z"))
        if when != "waiting":
            await api.tick()

        for method, path in (
            ("GET", f"/jobs/{id}"),
            ("GET", f"/jobs/{id}/events"),
            ("GET", f"/jobs/{id}/outputs/0"),
            ("GET", f"/jobs/{id}/files/sheet.json"),
            ("DELETE", f"/jobs/{id}"),
        ):
            answer = await api.client.request(method, path, headers=bearer("a"))
            assert answer.status_code == 404
        assert (await get(api, f"/jobs/{id}", **bearer("z"))).status_code == 200


@pytest.mark.parametrize("dispatched", [False, True])
async def test_a_bare_entry_belongs_to_the_tenant_that_its_manifest_names(
    make_pipeline: MakePipeline, dispatched: bool
) -> None:
    pipeline = make_pipeline(holding=True, api_keys=keys(acme="a", zenith="z"))
    pipeline.submit("bare-1", body(tenant="zenith"))
    async with ApiFixture(pipeline) as api:
        if dispatched:
            await api.tick()

        assert (await get(api, "/jobs/bare-1", **bearer("a"))).status_code == 404
        answer = await get(api, "/jobs/bare-1", **bearer("z"))
        assert answer.json()["model"] == "flux-dev"


async def test_a_job_that_cannot_be_read_belongs_to_nobody(api: ApiFixture) -> None:
    api.pipeline.submit("broken", b"{")
    assert (await get(api, "/jobs/broken")).status_code == 404
    await api.tick()

    assert api.pipeline.result("broken").status == "rejected"
    assert (await get(api, "/jobs/broken")).status_code == 404


async def test_a_result_that_is_none_is_said_to_be_unreadable(api: ApiFixture) -> None:
    id = await finished(api)
    api.pipeline.raw._store.put(result_key(id), b"scribble", Always())

    assert (await get(api, f"/jobs/{id}")).json()["state"] == "finished"
    assert (await get(api, f"/jobs/{id}/outputs/0")).json()["code"] == "no_such_output"


async def test_the_list_has_what_waits_and_runs_and_nothing_else(
    make_pipeline: MakePipeline,
) -> None:
    pipeline = make_pipeline(holding=True, api_keys=keys(acme="a", zenith="z"))
    async with ApiFixture(pipeline) as api:
        taken = await posted(api, **bearer("a"))
        await api.tick()
        waiting = await posted(api, **bearer("a"))
        await posted(api, **bearer("z"))

        page = (await get(api, "/jobs", **bearer("a"))).json()

        states = {job["id"]: (job["state"], job["model"]) for job in page["jobs"]}
        assert states == {taken: ("claimed", "flux-dev"), waiting: ("waiting", "flux-dev")}
        assert (page["count"], page["next"]) == (2, None)


async def test_the_list_comes_in_pages(api: ApiFixture) -> None:
    ids = sorted([await posted(api) for _ in range(5)])
    seen: list[str] = []
    after = ""
    while True:
        page = (await get(api, f"/jobs?limit=2{after and f'&after={after}'}")).json()
        seen += [job["id"] for job in page["jobs"]]
        assert page["count"] == 5
        if page["next"] is None:
            break
        after = page["next"]

    assert seen == ids


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "limit=x", "after=UPPER", "page=2"])
async def test_a_list_s_query_is_read_strictly(api: ApiFixture, query: str) -> None:
    assert (await get(api, f"/jobs?{query}")).status_code == 400


async def test_leases_that_did_not_change_are_not_read_again(idle_desk: ApiFixture) -> None:
    for _ in range(3):
        await posted(idle_desk)
    await idle_desk.tick()
    await get(idle_desk, "/jobs")
    before = idle_desk.pipeline.raw.calls["GET"]

    page = (await get(idle_desk, "/jobs")).json()

    assert [job["state"] for job in page["jobs"]] == ["claimed"] * 3
    assert idle_desk.pipeline.raw.calls["GET"] == before


async def test_a_waiting_job_can_be_cancelled_once(api: ApiFixture) -> None:
    id = await posted(api)

    answer = await api.client.delete(f"/jobs/{id}")

    assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")
    again = await api.client.delete(f"/jobs/{id}")
    assert (again.status_code, again.json()["code"]) == (409, "already_finished")
    assert again.json()["hint"] == f"/jobs/{id} shows it."
    api.pipeline.pass_time(60)
    await api.tick()
    assert api.pipeline.event_names().count("modal_flux_dev_generation_cancelled") == 1
    assert api.pipeline.keys("leases/") == []


async def test_a_cancelled_sheet_shows_what_was_made_of_it(idle_desk: ApiFixture) -> None:
    put_begun_sheet(idle_desk.pipeline.raw._store)

    answer = await idle_desk.client.delete("/jobs/sheet")

    assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")
    job = (await get(idle_desk, "/jobs/sheet")).json()
    assert job["files"] == ["/jobs/sheet/files/sheet.json", "/jobs/sheet/files/contact-sheet.png"]
    drawn = await get(idle_desk, job["files"][1])
    assert (drawn.status_code, drawn.headers["content-type"]) == (200, "image/png")
    assert len(job["outputs"]) == 2


async def test_a_running_job_is_cancelled_for_those_who_wait_for_it(idle_desk: ApiFixture) -> None:
    id = await posted(idle_desk)
    await idle_desk.tick()
    waiting = asyncio.create_task(get(idle_desk, f"/jobs/{id}", Prefer="wait=30"))
    await idle_desk.until(lambda: idle_desk.followed(id) is not None)

    await idle_desk.client.delete(f"/jobs/{id}")

    assert (await waiting).json()["status"] == "cancelled"


async def test_who_waits_hears_of_a_cancel_at_once_and_not_at_the_next_look(
    make_pipeline: MakePipeline,
) -> None:
    rare = Timeouts(look=60, first_look=60, job_listing=0, listing=0)
    async with ApiFixture(make_pipeline(api_jobs_per_tenant=1), rare) as desk:
        id = await posted(desk)
        waiting = asyncio.create_task(get(desk, f"/jobs/{id}", Prefer="wait=30"))
        await desk.until(lambda: desk.followed(id) is not None)
        assert (await desk.post()).status_code == 429

        await desk.client.delete(f"/jobs/{id}")

        async with asyncio.timeout(1):
            assert (await waiting).json()["status"] == "cancelled"
        assert (await desk.post()).status_code == 202


async def test_an_output_is_fetched_with_its_type_and_tag(api: ApiFixture) -> None:
    id = await finished(api, json={**SMALL, "num_images": 2, "output_format": "webp"})

    answer = await get(api, f"/jobs/{id}/outputs/1")

    assert answer.headers["content-type"] == "image/webp"
    assert answer.headers["x-outputs"] == "2"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "private, no-cache"
    known = await get(api, f"/jobs/{id}/outputs/1", If_None_Match=answer.headers["etag"])
    assert known.status_code == 200  # the header is not called so
    known = await api.client.get(
        f"/jobs/{id}/outputs/1", headers={"If-None-Match": f'W/"x", {answer.headers["etag"]}'}
    )
    assert (known.status_code, known.content) == (304, b"")


@pytest.mark.parametrize("n", ["1", "999", "1000", "-1", "x", "00", "٣"])
async def test_an_output_that_is_not_there_is_a_404(api: ApiFixture, n: str) -> None:
    id = await finished(api)

    assert (await get(api, f"/jobs/{id}/outputs/{n}")).status_code == 404


async def test_outputs_of_an_unfinished_job(idle_desk: ApiFixture) -> None:
    id = await posted(idle_desk)
    path = f"/jobs/{id}/outputs/0"

    at_once = await get(idle_desk, path)
    assert (at_once.status_code, at_once.json()["code"]) == (409, "not_finished")
    in_vain = await get(idle_desk, f"{path}?wait=1")
    assert (in_vain.status_code, in_vain.json()["job"]) == (504, id)
    assert in_vain.headers["retry-after"]
    sent_on = await get(idle_desk, f"{path}?left=50")
    assert (sent_on.status_code, sent_on.headers["location"]) == (303, f"{path}?wait=50")
    sent_on = await get(idle_desk, f"{path}?left=180")
    assert sent_on.headers["location"] == f"{path}?wait=120&left=60"


async def test_an_output_is_waited_for(api: ApiFixture) -> None:
    id = await posted(api)

    asking = asyncio.create_task(get(api, f"/jobs/{id}/outputs/0?wait=30"))

    assert (await api.ticks_until(asking)).headers["content-type"] == "image/png"


async def test_an_output_that_was_deleted_is_missing(api: ApiFixture) -> None:
    id = await finished(api)
    api.pipeline.store.delete(api.pipeline.result(id).outputs[0].key)

    answer = await get(api, f"/jobs/{id}/outputs/0")

    assert (answer.status_code, answer.json()["code"]) == (502, "outputs_missing")


async def test_outputs_can_be_redirected_to_the_store(make_pipeline: MakePipeline) -> None:
    pipeline = make_pipeline(presign_seconds=60)
    pipeline.raw.presigned_url = lambda key, seconds: f"https://store/{key}?for={seconds}"  # type: ignore[attr-defined]
    async with ApiFixture(pipeline) as api:
        id = await finished(api)

        answer = await get(api, f"/jobs/{id}/outputs/0")

        key = api.pipeline.result(id).outputs[0].key
        assert answer.status_code == 302
        assert answer.headers["location"] == f"https://store/{key}?for=60"
        assert answer.headers["x-cost-usd"] == "0.000000"
        assert answer.headers["cache-control"] == "private, no-store"


async def test_who_was_sent_on_by_a_post_gets_bytes_with_the_headers(
    make_pipeline: MakePipeline,
) -> None:
    """An older client reads the cost of its job off the answer that has the picture."""
    pipeline = make_pipeline(presign_seconds=60)
    pipeline.raw.presigned_url = lambda key, seconds: f"https://store/{key}"  # type: ignore[attr-defined]
    async with ApiFixture(pipeline) as api:
        posting = asyncio.create_task(api.post(prefer=None, Accept="*/*"))
        answer = await api.ticks_until(posting)
        sent_on = await get(api, f"/jobs/{answer.headers['x-job-id']}/outputs/0?wait=120")

        for each in (answer, sent_on):
            assert (each.status_code, each.content[:4]) == (200, b"\x89PNG")
            assert each.headers["x-cost-usd"] == "0.000000"


async def test_a_dispatcher_hears_of_a_cancel_as_it_owes_events_now(api: ApiFixture) -> None:
    id = await posted(api)
    api.changed_keys.clear()

    await api.client.delete(f"/jobs/{id}")

    assert api.changed_keys == [None]


async def test_head_tells_what_get_would_and_reads_no_picture(api: ApiFixture) -> None:
    id = await finished(api)
    image = await get(api, f"/jobs/{id}/outputs/0")
    before = api.pipeline.raw.calls["GET"]

    asked = await api.client.head(f"/jobs/{id}/outputs/0")

    assert (asked.status_code, asked.content) == (200, b"")
    for name in ("content-length", "content-type", "etag", "x-cost-usd"):
        assert asked.headers[name] == image.headers[name]
    assert api.pipeline.raw.calls["GET"] == before
    for path in (f"/jobs/{id}", "/jobs", "/health", "/models", "/loras"):
        assert (await api.client.head(path)).status_code == 200
    assert (await api.client.head(f"/jobs/{id}/events")).status_code == 405


async def test_a_job_that_was_seen_to_end_is_listed_no_more_by_an_older_listing(
    make_pipeline: MakePipeline,
) -> None:
    async with ApiFixture(make_pipeline(), replace(QUICK, listing=60.0)) as api:
        id = await posted(api)
        assert (await get(api, "/jobs")).json()["count"] == 1

        await api.tick()
        await get(api, f"/jobs/{id}")

        assert (await get(api, "/jobs")).json() == {"jobs": [], "count": 0, "next": None}


async def test_whoever_hangs_up_is_waited_for_no_longer(idle_desk: ApiFixture) -> None:
    id = await posted(idle_desk)
    hung_up, sent = asyncio.Event(), list[Message]()

    async def receive() -> Message:
        await hung_up.wait()
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)

    headers = [(b"host", b"localhost"), (b"prefer", b"wait=60")]
    scope = {
        "type": "http",
        "method": "GET",
        "path": f"/jobs/{id}",
        "query_string": b"",
        "headers": headers,
        "client": ("127.0.0.1", 50_000),
    }
    asking = asyncio.create_task(idle_desk.app(scope, receive, send))
    await idle_desk.until(lambda: idle_desk.followed(id) is not None)
    hung_up.set()
    async with asyncio.timeout(5):
        await asking

    assert idle_desk.followed(id) is None
    assert sent == []


async def test_a_forgotten_job_is_gone_and_its_key_is_used(api: ApiFixture) -> None:
    key = {"Idempotency-Key": "one"}
    id = await finished(api, **key)
    eraser(api.pipeline).erase(Wish(job=id))
    for path in (f"/jobs/{id}", f"/jobs/{id}/outputs/0", f"/jobs/{id}/events"):
        answer = await get(api, path)
        assert (answer.status_code, answer.json()["code"]) == (410, "job_forgotten")
    assert (await api.client.delete(f"/jobs/{id}")).status_code == 410
    again = await api.post(**key)
    assert (again.status_code, again.json()["code"]) == (409, "id_conflict")


async def test_a_result_that_was_read_before_is_shown_for_three_seconds_at_most(
    api: ApiFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    id = await finished(api)
    tag = (await get(api, f"/jobs/{id}/outputs/0")).headers["etag"]
    eraser(api.pipeline, api.pipeline.safe()).erase(Wish(job=id))
    assert KEPT_S <= 3
    listing = api.service.lookup.job_listing
    later = time.monotonic() + KEPT_S
    monkeypatch.setattr(listing, "monotonic", lambda: later)
    asked_again = {"If-None-Match": tag}
    answer = await api.client.get(f"/jobs/{id}/outputs/0", headers=asked_again)
    assert answer.status_code == 410
    assert (await get(api, f"/jobs/{id}")).status_code == 410


async def test_a_job_that_waits_for_a_stop_says_so_and_for_a_budget_without_its_figures(
    make_pipeline: MakePipeline,
) -> None:
    pipeline = make_pipeline(holding=True)
    async with ApiFixture(pipeline) as api:
        now = [0.0]
        api.service.wait_reasons.monotonic = lambda: now[0]
        id = await posted(api)
        assert (await get(api, f"/jobs/{id}")).json().get("warnings", []) == []
        pipeline.raw.put("stops/all", b'{"reason": "not for tenants"}', Always())
        now[0] += FRESH_S
        told = await get(api, f"/jobs/{id}")
        assert told.json()["warnings"] == ["it waits: an operator has stopped all jobs"]
        pipeline.store.delete("stops/all")
        now[0] += FRESH_S
        await api.tick()
        lease = pipeline.lease(id).waiting(
            not_before=pipeline.now, error=error_info(BudgetSpent("the budget total has $50"))
        )
        pipeline.raw.put(lease_key(id), lease.body(), Always())
        told = await get(api, f"/jobs/{id}")
        assert told.json()["warnings"] == [
            "it waits: a budget of the operator's has no room for it"
        ]
