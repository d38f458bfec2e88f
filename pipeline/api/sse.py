"""A job's progress as Server-Sent Events."""

import hashlib
import json
from collections.abc import AsyncIterator
from contextlib import suppress

from sse_starlette import ServerSentEvent

from config.errors import StoreError
from pipeline.api.lookup import OwnedJob
from pipeline.api.schemas import job_document
from pipeline.api.service import Service

RETRY_MS = 1000
"""What a browser waits before it connects again."""


def event_id(owned: OwnedJob) -> str:
    """The same for the same state, in every process: a client that reconnects gives it back."""
    view = owned.view
    lease, result = view.lease, view.result
    said = (
        view.finished,
        result.status if result else None,
        lease.attempt if lease else None,
        lease.progress.model_dump() if lease and lease.progress else None,
        None if view.finished else view.state,
    )
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()[:16]


def event(owned: OwnedJob) -> ServerSentEvent:
    """`progress` or `finished`, with the fields of a `Job` as its data."""
    return ServerSentEvent(
        json.dumps(job_document(owned.view, owned.model), ensure_ascii=False),
        event="finished" if owned.finished else "progress",
        id=event_id(owned),
        retry=RETRY_MS,
    )


async def events(
    service: Service, owned: OwnedJob, last_id: str | None
) -> AsyncIterator[ServerSentEvent]:
    """From the state after `last_id` on. Ends with the job, or after `Timeouts.stream` seconds, to
    be resumed, as it does where the store is away."""
    async with service.watcher.watch(owned, progress=True) as watch:
        with suppress(StoreError):
            async for seen in watch.views(service.dependencies.timeouts.stream):
                if event_id(seen) != last_id:
                    last_id = event_id(seen)
                    yield event(seen)
