"""Progress as Server-Sent Events."""

import asyncio
import json
from typing import Any

import pytest

from pipeline.api.dependencies import Timeouts
from pipeline.contract.keys import lease_key
from pipeline.contract.lease import Phase, Progress
from pipeline.jobs.status import State
from pipeline.store.base import Always
from tests.pipeline.conftest import MakePipeline
from tests.support.api_fixture import ApiFixture

pytestmark = pytest.mark.anyio


def read(text: str) -> list[dict[str, Any]]:
    """The events of a stream: name, id and the job."""
    events = []
    for block in text.replace("\r\n", "\n").strip().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if ": " in line)
        if "data" in fields:
            fields["data"] = json.loads(fields["data"])
            events.append(fields)
    return events


def told(api: ApiFixture, id: str) -> Any:
    track = api.followed(id)
    assert track is not None
    return track.owned.view


async def test_progress_is_told_until_the_end(make_pipeline: MakePipeline) -> None:
    pipeline = make_pipeline(holding=True)
    async with ApiFixture(pipeline) as api:
        id = (await api.post()).json()["id"]
        stream = asyncio.create_task(api.client.get(f"/jobs/{id}/events"))
        await api.until(lambda: api.followed(id) is not None)
        await api.tick()
        await api.until(lambda: told(api, id).state is State.CLAIMED)
        lease = pipeline.lease(id)
        for fraction in (0.25, 0.75):
            progress = Progress(fraction=fraction, step="KSampler")
            lease = lease.with_(phase=Phase.RUNNING, progress=progress)
            pipeline.raw._store.put(lease_key(id), lease.body(), Always())
            await api.until(lambda p=progress: told(api, id).lease.progress == p)  # type: ignore[misc]
        await api.client.delete(f"/jobs/{id}")

        answer = await stream

    assert answer.headers["content-type"].startswith("text/event-stream")
    events = read(answer.text)
    states = [(event["event"], event["data"]["state"]) for event in events]
    assert states == [
        ("progress", "waiting"),
        ("progress", "claimed"),
        ("progress", "running"),
        ("progress", "running"),
        ("finished", "finished"),
    ]
    assert [event["data"]["progress"]["fraction"] for event in events[2:4]] == [0.25, 0.75]
    assert events[-1]["data"]["status"] == "cancelled"
    assert len({event["id"] for event in events}) == len(events)


async def test_a_stream_ends_by_itself_and_is_resumed_without_repeating(
    make_pipeline: MakePipeline,
) -> None:
    timeouts = Timeouts(look=0.01, first_look=0.0, stream=0.05)
    async with ApiFixture(make_pipeline(), timeouts) as api:
        id = (await api.post()).json()["id"]
        (first,) = read((await api.client.get(f"/jobs/{id}/events")).text)
        resume = {"Last-Event-ID": first["id"]}

        assert read((await api.client.get(f"/jobs/{id}/events", headers=resume)).text) == []
        await api.tick()
        (last,) = read((await api.client.get(f"/jobs/{id}/events", headers=resume)).text)
        assert last["event"] == "finished"
        resume = {"Last-Event-ID": last["id"]}
        answer = await ApiFixture(api.pipeline).client.get(f"/jobs/{id}/events", headers=resume)
        assert (answer.status_code, answer.content) == (204, b"")
