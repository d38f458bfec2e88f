"""The HTTP app as a container serves it: what it hears of is claimed at once, by itself."""

import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from anyio import to_thread
from fastapi import FastAPI

from events.sender import Sender
from pipeline.api.app import make_app
from pipeline.api.ports import Ports
from pipeline.api.threads import STORE_CALLS
from pipeline.deployed.parts import open_parts
from pipeline.dispatcher.hearing import Hearing
from pipeline.sinks import make_sink

HEARING_S = 5.0
"""How long what was heard of may take when the container ends; the schedule finds the rest."""
DRAIN_S = 5.0


def make_asgi(environ: Mapping[str, str] = os.environ) -> FastAPI:
    """Makes no request: /health answers whatever the bucket does. Raises InvalidSetting."""
    parts = open_parts(environ, checked=False, threads=STORE_CALLS)
    sender = Sender(make_sink(parts.settings))
    hearing = Hearing(parts.dispatcher(sender))
    app = make_app(Ports(parts.bench, parts.store, hearing.ring))
    inner = app.router.lifespan_context

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with inner(app):
            yield
        await to_thread.run_sync(hearing.close, HEARING_S)
        await to_thread.run_sync(sender.close, DRAIN_S)

    app.router.lifespan_context = lifespan
    return app
