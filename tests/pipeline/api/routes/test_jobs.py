"""`/jobs`: looked at, listed, fetched, cancelled."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from httpx import Response
from starlette.types import Message

from pipeline.contract.keys import lease_key, result_key
from pipeline.contract.lease import Phase, Progress
from pipeline.store.base import Always
from tests.pipeline.conftest import MakeYard
from tests.support.desk import QUICK, SMALL, Desk, bearer, keys
from tests.support.manifests import body

pytestmark = pytest.mark.anyio


async def posted(desk: Desk, **options: Any) -> str:
    id: str = (await desk.post(**options)).json()["id"]
    return id


async def finished(desk: Desk, **options: Any) -> str:
    id = await posted(desk, **options)
    await desk.tick()
    return id


async def get(desk: Desk, path: str, **headers: str) -> Response:
    return await desk.client.get(path, headers=headers)


async def test_a_job_is_shown_from_the_inbox_to_its_result(make_yard: MakeYard) -> None:
    yard = make_yard(holding=True)
    async with Desk(yard) as desk:
        id = await posted(desk)
        waits = await get(desk, f"/jobs/{id}")
        assert (waits.status_code, waits.json()["state"]) == (200, "waiting")
        assert waits.headers["retry-after"]

        await desk.tick()
        claimed = (await get(desk, f"/jobs/{id}")).json()
        assert (claimed["state"], claimed["attempt"], claimed["model"]) == (
            "claimed",
            1,
            "flux-dev",
        )

        progress = Progress(fraction=0.5, step="KSampler")
        lease = yard.lease(id).with_(phase=Phase.RUNNING, progress=progress)
        yard.raw._store.put(lease_key(id), lease.body(), Always())
        runs = (await get(desk, f"/jobs/{id}")).json()
        assert (runs["state"], runs["progress"]) == (
            "running",
            {"fraction": 0.5, "step": "KSampler"},
        )


async def test_a_finished_job_has_its_result_and_is_read_once(desk: Desk) -> None:
    id = await finished(desk)
    first = await get(desk, f"/jobs/{id}")
    calls = desk.yard.raw.calls.copy()

    again = await get(desk, f"/jobs/{id}")

    assert first.json()["status"] == "succeeded"
    assert first.json()["result"]["cost"]["usd"] == 0.0
    assert again.json() == first.json()
    assert "retry-after" not in again.headers
    assert desk.yard.raw.calls == calls


async def test_a_job_can_be_waited_for_afterwards(desk: Desk) -> None:
    id = await posted(desk)

    asking = asyncio.create_task(get(desk, f"/jobs/{id}", Prefer="wait=30"))
    answer = await desk.ticks_until(asking)

    assert answer.headers["preference-applied"] == "wait=30"
    assert answer.json()["state"] == "finished"


@pytest.mark.parametrize("id", ["nobody", "UPPER", "a.b", "-", "x" * 97, "%2e%2e"])
@pytest.mark.parametrize("rest", ["", "/events", "/outputs/0"])
async def test_what_is_no_job_is_unknown(desk: Desk, id: str, rest: str) -> None:
    answer = await get(desk, f"/jobs/{id}{rest}")

    assert (answer.status_code, answer.json()["code"]) == (404, "unknown_job")


async def test_another_process_s_job_is_found_the_moment_it_is_there(desk: Desk) -> None:
    await get(desk, "/jobs")
    id = await posted(Desk(desk.yard))

    assert (await get(desk, f"/jobs/{id}")).json()["state"] == "waiting"


@pytest.fixture
async def two(make_yard: MakeYard) -> AsyncIterator[Desk]:
    """Tenants acme (key a) and zenith (key z)."""
    async with Desk(make_yard(api_keys=keys(acme="a", zenith="z"))) as desk:
        yield desk


@pytest.mark.parametrize("when", ["waiting", "claimed", "finished"])
async def test_another_tenant_s_job_is_unknown_in_every_state(
    make_yard: MakeYard, when: str
) -> None:
    yard = make_yard(api_keys=keys(acme="a", zenith="z"), holding=when == "claimed")
    async with Desk(yard) as desk:
        id = await posted(desk, **bearer("z"))
        if when != "waiting":
            await desk.tick()

        for method, path in (
            ("GET", f"/jobs/{id}"),
            ("GET", f"/jobs/{id}/events"),
            ("GET", f"/jobs/{id}/outputs/0"),
            ("DELETE", f"/jobs/{id}"),
        ):
            answer = await desk.client.request(method, path, headers=bearer("a"))
            assert answer.status_code == 404
        assert (await get(desk, f"/jobs/{id}", **bearer("z"))).status_code == 200


@pytest.mark.parametrize("dispatched", [False, True])
async def test_a_bare_entry_belongs_to_the_tenant_that_its_manifest_names(
    make_yard: MakeYard, dispatched: bool
) -> None:
    yard = make_yard(holding=True, api_keys=keys(acme="a", zenith="z"))
    yard.submit("bare-1", body(tenant="zenith"))
    async with Desk(yard) as desk:
        if dispatched:
            await desk.tick()

        assert (await get(desk, "/jobs/bare-1", **bearer("a"))).status_code == 404
        answer = await get(desk, "/jobs/bare-1", **bearer("z"))
        assert answer.json()["model"] == "flux-dev"


async def test_a_job_that_cannot_be_read_belongs_to_nobody(desk: Desk) -> None:
    desk.yard.submit("broken", b"{")
    assert (await get(desk, "/jobs/broken")).status_code == 404
    await desk.tick()

    assert desk.yard.result("broken").status == "rejected"
    assert (await get(desk, "/jobs/broken")).status_code == 404


async def test_a_result_that_is_none_is_said_to_be_unreadable(desk: Desk) -> None:
    id = await finished(desk)
    desk.yard.raw._store.put(result_key(id), b"scribble", Always())

    assert (await get(desk, f"/jobs/{id}")).json()["state"] == "finished"
    assert (await get(desk, f"/jobs/{id}/outputs/0")).json()["code"] == "no_such_output"


async def test_the_list_has_what_waits_and_runs_and_nothing_else(make_yard: MakeYard) -> None:
    yard = make_yard(holding=True, api_keys=keys(acme="a", zenith="z"))
    async with Desk(yard) as desk:
        taken = await posted(desk, **bearer("a"))
        await desk.tick()
        waiting = await posted(desk, **bearer("a"))
        await posted(desk, **bearer("z"))

        page = (await get(desk, "/jobs", **bearer("a"))).json()

        states = {job["id"]: (job["state"], job["model"]) for job in page["jobs"]}
        assert states == {taken: ("claimed", "flux-dev"), waiting: ("waiting", "flux-dev")}
        assert (page["count"], page["next"]) == (2, None)


async def test_the_list_comes_in_pages(desk: Desk) -> None:
    ids = sorted([await posted(desk) for _ in range(5)])
    seen: list[str] = []
    after = ""
    while True:
        page = (await get(desk, f"/jobs?limit=2{after and f'&after={after}'}")).json()
        seen += [job["id"] for job in page["jobs"]]
        assert page["count"] == 5
        if page["next"] is None:
            break
        after = page["next"]

    assert seen == ids


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "limit=x", "after=UPPER", "page=2"])
async def test_a_list_s_query_is_read_strictly(desk: Desk, query: str) -> None:
    assert (await get(desk, f"/jobs?{query}")).status_code == 400


async def test_leases_that_did_not_change_are_not_read_again(idle_desk: Desk) -> None:
    for _ in range(3):
        await posted(idle_desk)
    await idle_desk.tick()
    await get(idle_desk, "/jobs")
    before = idle_desk.yard.raw.calls["GET"]

    page = (await get(idle_desk, "/jobs")).json()

    assert [job["state"] for job in page["jobs"]] == ["claimed"] * 3
    assert idle_desk.yard.raw.calls["GET"] == before


async def test_a_waiting_job_can_be_cancelled_once(desk: Desk) -> None:
    id = await posted(desk)

    answer = await desk.client.delete(f"/jobs/{id}")

    assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")
    again = await desk.client.delete(f"/jobs/{id}")
    assert (again.status_code, again.json()["code"]) == (409, "already_finished")
    assert again.json()["hint"] == f"/jobs/{id} shows it."
    desk.yard.pass_time(60)
    await desk.tick()
    assert desk.yard.event_names().count("modal_flux_dev_generation_cancelled") == 1
    assert desk.yard.keys("leases/") == []


async def test_a_running_job_is_cancelled_for_those_who_wait_for_it(idle_desk: Desk) -> None:
    id = await posted(idle_desk)
    await idle_desk.tick()
    waiting = asyncio.create_task(get(idle_desk, f"/jobs/{id}", Prefer="wait=30"))
    await idle_desk.until(lambda: idle_desk.followed(id) is not None)

    await idle_desk.client.delete(f"/jobs/{id}")

    assert (await waiting).json()["status"] == "cancelled"


async def test_an_output_is_fetched_with_its_type_and_tag(desk: Desk) -> None:
    id = await finished(desk, json={**SMALL, "num_images": 2, "output_format": "webp"})

    answer = await get(desk, f"/jobs/{id}/outputs/1")

    assert answer.headers["content-type"] == "image/webp"
    assert answer.headers["x-outputs"] == "2"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "immutable" in answer.headers["cache-control"]
    known = await get(desk, f"/jobs/{id}/outputs/1", If_None_Match=answer.headers["etag"])
    assert known.status_code == 200  # the header is not called so
    known = await desk.client.get(
        f"/jobs/{id}/outputs/1", headers={"If-None-Match": f'W/"x", {answer.headers["etag"]}'}
    )
    assert (known.status_code, known.content) == (304, b"")


@pytest.mark.parametrize("n", ["1", "999", "1000", "-1", "x", "00", "٣"])
async def test_an_output_that_is_not_there_is_a_404(desk: Desk, n: str) -> None:
    id = await finished(desk)

    assert (await get(desk, f"/jobs/{id}/outputs/{n}")).status_code == 404


async def test_outputs_of_an_unfinished_job(idle_desk: Desk) -> None:
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


async def test_an_output_is_waited_for(desk: Desk) -> None:
    id = await posted(desk)

    asking = asyncio.create_task(get(desk, f"/jobs/{id}/outputs/0?wait=30"))

    assert (await desk.ticks_until(asking)).headers["content-type"] == "image/png"


async def test_an_output_that_was_deleted_is_missing(desk: Desk) -> None:
    id = await finished(desk)
    desk.yard.store.delete(desk.yard.result(id).outputs[0].key)

    answer = await get(desk, f"/jobs/{id}/outputs/0")

    assert (answer.status_code, answer.json()["code"]) == (502, "outputs_missing")


async def test_outputs_can_be_redirected_to_the_store(make_yard: MakeYard) -> None:
    yard = make_yard(presign_seconds=60)
    yard.raw.presigned_url = lambda key, seconds: f"https://store/{key}?for={seconds}"  # type: ignore[attr-defined]
    async with Desk(yard) as desk:
        id = await finished(desk)

        answer = await get(desk, f"/jobs/{id}/outputs/0")

        key = desk.yard.result(id).outputs[0].key
        assert answer.status_code == 302
        assert answer.headers["location"] == f"https://store/{key}?for=60"
        assert answer.headers["x-cost-usd"] == "0.000000"
        assert answer.headers["cache-control"] == "private, no-store"


async def test_a_dispatcher_hears_of_a_cancel_as_it_owes_events_now(desk: Desk) -> None:
    id = await posted(desk)
    desk.changed_keys.clear()

    await desk.client.delete(f"/jobs/{id}")

    assert desk.changed_keys == [None]


async def test_head_tells_what_get_would_and_reads_no_picture(desk: Desk) -> None:
    id = await finished(desk)
    picture = await get(desk, f"/jobs/{id}/outputs/0")
    before = desk.yard.raw.calls["GET"]

    asked = await desk.client.head(f"/jobs/{id}/outputs/0")

    assert (asked.status_code, asked.content) == (200, b"")
    for name in ("content-length", "content-type", "etag", "x-cost-usd"):
        assert asked.headers[name] == picture.headers[name]
    assert desk.yard.raw.calls["GET"] == before
    for path in (f"/jobs/{id}", "/jobs", "/health", "/models", "/loras"):
        assert (await desk.client.head(path)).status_code == 200
    assert (await desk.client.head(f"/jobs/{id}/events")).status_code == 405


async def test_a_job_that_was_seen_to_end_is_listed_no_more_by_an_older_listing(
    make_yard: MakeYard,
) -> None:
    async with Desk(make_yard(), replace(QUICK, listing=60.0)) as desk:
        id = await posted(desk)
        assert (await get(desk, "/jobs")).json()["count"] == 1

        await desk.tick()
        await get(desk, f"/jobs/{id}")

        assert (await get(desk, "/jobs")).json() == {"jobs": [], "count": 0, "next": None}


async def test_whoever_hangs_up_is_waited_for_no_longer(idle_desk: Desk) -> None:
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
