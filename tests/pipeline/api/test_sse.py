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
from tests.pipeline.conftest import MakeYard
from tests.support.desk import Desk

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


def told(desk: Desk, id: str) -> Any:
    track = desk.followed(id)
    assert track is not None
    return track.owned.view


async def test_progress_is_told_until_the_end(make_yard: MakeYard) -> None:
    yard = make_yard(holding=True)
    async with Desk(yard) as desk:
        id = (await desk.post()).json()["id"]
        stream = asyncio.create_task(desk.client.get(f"/jobs/{id}/events"))
        await desk.until(lambda: desk.followed(id) is not None)
        await desk.tick()
        await desk.until(lambda: told(desk, id).state is State.CLAIMED)
        lease = yard.lease(id)
        for fraction in (0.25, 0.75):
            progress = Progress(fraction=fraction, step="KSampler")
            lease = lease.with_(phase=Phase.RUNNING, progress=progress)
            yard.raw._store.put(lease_key(id), lease.body(), Always())
            await desk.until(lambda p=progress: told(desk, id).lease.progress == p)  # type: ignore[misc]
        await desk.client.delete(f"/jobs/{id}")

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
    make_yard: MakeYard,
) -> None:
    timeouts = Timeouts(look=0.01, first_look=0.0, stream=0.05)
    async with Desk(make_yard(), timeouts) as desk:
        id = (await desk.post()).json()["id"]
        (first,) = read((await desk.client.get(f"/jobs/{id}/events")).text)
        resume = {"Last-Event-ID": first["id"]}

        assert read((await desk.client.get(f"/jobs/{id}/events", headers=resume)).text) == []
        await desk.tick()
        (last,) = read((await desk.client.get(f"/jobs/{id}/events", headers=resume)).text)
        assert last["event"] == "finished"
        resume = {"Last-Event-ID": last["id"]}
        answer = await Desk(desk.yard).client.get(f"/jobs/{id}/events", headers=resume)
        assert (answer.status_code, answer.content) == (204, b"")
