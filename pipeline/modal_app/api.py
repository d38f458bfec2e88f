"""The HTTP app as a container serves it: what it hears of is claimed at once, by itself."""

import os
import time
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial

from anyio import to_thread
from fastapi import FastAPI

from events.sender import Sender
from pipeline.api.app import make_app
from pipeline.api.concurrency import STORE_CALLS
from pipeline.api.dependencies import ApiDependencies
from pipeline.dispatcher.waker import DispatchThread
from pipeline.modal_app.dispatch import open_dependencies
from pipeline.modal_app.mounted import Handle, look_again
from pipeline.notify.sinks import make_sink

HEARING_S = 5.0
"""How long what was heard of may take when the container ends; the schedule finds the rest."""
DRAIN_S = 5.0
"""How long events may take to go out when the container ends."""


RELOAD_S = 60.0
"""A container may live for days; face packs that came since must not be missed by its claims."""


def make_asgi(weights: Handle, environ: Mapping[str, str] = os.environ) -> FastAPI:
    """Makes no request: /health answers whatever the bucket does. Raises InvalidSetting."""
    dependencies = open_dependencies(environ, checked=False, threads=STORE_CALLS)
    sender = Sender(make_sink(dependencies.settings))
    pool = ThreadPoolExecutor(dependencies.settings.dispatch_threads)
    reload = partial(look_again, dependencies.settings.models_dir, weights)
    dispatch_thread = DispatchThread(
        dependencies.dispatcher(sender, pool), before=_seldom(reload, RELOAD_S)
    )
    app = make_app(
        ApiDependencies(
            dependencies.runtime,
            dependencies.store,
            dispatch_thread.notify,
            pictures=dependencies.pictures,
        )
    )
    inner = app.router.lifespan_context

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with inner(app):
            yield
        await to_thread.run_sync(dispatch_thread.close, HEARING_S)
        dependencies.pictures.close()  # once more: a claim may have begun its child again
        pool.shutdown(wait=False)
        await to_thread.run_sync(sender.close, DRAIN_S)

    app.router.lifespan_context = lifespan
    return app


def _seldom(call: Callable[[], None], every_s: float) -> Callable[[], None]:
    """Calls it at the first time, and then not more often than that."""
    due = time.monotonic()

    def maybe() -> None:
        nonlocal due
        if time.monotonic() >= due:
            due = time.monotonic() + every_s
            call()

    return maybe
