"""The client for programs on asyncio. Each method is that of `Client`, awaited."""

import asyncio
import os
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any, Self, TypeVar

import httpx

from ryla_client import _http
from ryla_client._calls import Broken, Call, Flow, Pause, Reply, Send
from ryla_client._config import server
from ryla_client._core import Core
from ryla_client._jobs import Job
from ryla_client._retry import Retries
from ryla_client._stream import Stream
from ryla_client.requests import Request

T = TypeVar("T")


class AsyncClient:
    """Talks to one server. Close it, or use it in an `async with`."""

    def __init__(
        self,
        url: str | None = None,
        key: str | None = None,
        *,
        retries: Retries | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """`url` and `key` not given are RYLA_CLIENT_URL and RYLA_CLIENT_KEY of the environment;
        without either, the server is that of this machine, at port 8787.

        Raises RylaError for what is no URL.
        """
        self._core = Core(retries or Retries(), time.monotonic)
        self._http = httpx.AsyncClient(**_http.options(server(url, key)), transport=transport)

    async def submit(self, request: Request, *, idempotency_key: str | None = None) -> Job:
        """Hand a job in, without waiting for it.

        The same key and the same request give the same job, however often they are sent. Without a
        key each call is a job of its own.
        """
        return await self._run(self._core.submit(request, idempotency_key))

    async def wait(self, job: Job | str, *, timeout: float = 900.0) -> Job:
        """The finished job, however it ended: `timeout` is in seconds. Raises StillRunning after
        that."""
        return await self._run(self._core.wait(_http.known(job), timeout))

    async def generate(
        self, request: Request, *, idempotency_key: str | None = None, timeout: float = 900.0
    ) -> Job:
        """Submit and wait, for `timeout` seconds in all.

        Raises JobEnded for a job that did not succeed, StillRunning for one that goes on.
        """
        return await self._run(self._core.generate(request, idempotency_key, timeout))

    async def save(self, job: Job | str, to: str | os.PathLike[str]) -> list[Path]:
        """Write a succeeded job's outputs to `to`, `to`-2, …; or into `to`, if that is a folder.
        The paths, in the order of the outputs.

        Raises JobEnded for a job that did not succeed, StillRunning before its end, OSError.
        """
        return await self._run(self._core.save(_http.known(job), to))

    async def output(self, job: Job | str, number: int = 0) -> bytes:
        """One output of a succeeded job, by its number from 0."""
        return (await self._run(self._core.output(_http.known(job), number))).body

    async def file(self, job: Job | str, name: str) -> bytes:
        """A file beside the pictures, such as `sheet.json`; `result["files"]` lists them."""
        return (await self._run(self._core.file(_http.known(job), name))).body

    async def progress(
        self, job: Job | str, *, last_event_id: str | None = None
    ) -> AsyncIterator[Job]:
        """The job at each change that the server tells of, until it is finished.

        A connection that ends is made again from the last event on.
        """
        stream = Stream(self._core, _http.known(job), last_event_id)
        while not stream.over:
            async with aclosing(self._connected(stream)) as seen:
                async for each in seen:
                    yield each
            if not stream.over:
                await asyncio.sleep(stream.pause())

    async def cancel(self, job: Job | str) -> Job:
        """Cancel it, unless it is finished. The job as it then is: `status` tells which."""
        return await self._run(self._core.cancel(_http.known(job)))

    async def job(self, job: Job | str) -> Job:
        """The job as it stands now."""
        return await self._run(self._core.job(_http.known(job)))

    async def jobs(self) -> list[Job]:
        """Those of yours that wait or run."""
        return await self._run(self._core.jobs())

    async def health(self) -> dict[str, Any]:
        """`status`, `app` and `version` of the server; it looks at neither store nor GPU."""
        return await self._run(self._core.json("/health"))

    async def models(self) -> dict[str, Any]:
        """`models`, a list of the kinds with `available`, `gpus` and what they take; and their
        `count`."""
        return await self._run(self._core.json("/models"))

    async def loras(self) -> dict[str, Any]:
        """`loras`, a list of files in the bucket, whose `name` is what `lora_name` takes; and their
        `count`."""
        return await self._run(self._core.json("/loras"))

    async def close(self) -> None:
        """Close its connections; jobs go on."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _run(self, flow: Flow[T]) -> T:
        answer: Reply | Broken | None = None
        while True:
            try:
                step = flow.send(answer)
            except StopIteration as end:
                result: T = end.value
                return result
            answer = None
            if isinstance(step, Send):
                answer = await self._send(step.call)
            elif isinstance(step, Pause):
                await asyncio.sleep(step.seconds)
            else:
                await asyncio.to_thread(_http.write, step)

    async def _send(self, call: Call) -> Reply | Broken:
        try:
            return _http.reply(await self._http.request(**_http.arguments(call)))
        except httpx.RequestError as error:
            return _http.broken(error)

    async def _connected(self, stream: Stream) -> AsyncGenerator[Job, None]:
        try:
            async with self._http.stream(**_http.arguments(stream.call())) as response:
                if response.status_code != 200:
                    await response.aread()
                    stream.ended(_http.reply(response))
                    return
                async for chunk in response.aiter_bytes():
                    for job in stream.feed(chunk):
                        yield job
                    if stream.over:
                        return
        except httpx.RequestError as error:
            stream.broke(_http.broken(error))
