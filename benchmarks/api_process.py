"""The HTTP API as a process of its own whose store calls are counted, and a client that costs next
to nothing beside it."""

import asyncio
import json
import multiprocessing
import os
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Self

from config.logs import configure_logs
from config.settings import Settings
from pipeline.api.dependencies import ApiDependencies
from pipeline.api.server import listen, served
from pipeline.runtime import load_runtime
from pipeline.store.conditional import SafeStore
from pipeline.store.open import open_store
from tests.support.pipeline_fixture import CountingStore

STORE_THREADS = 32
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def _serve(settings: Settings, pipe: Connection) -> None:
    """Until the pipe says None; to anything else it answers with the calls since the last time."""
    configure_logs(settings)
    counting = CountingStore(open_store(settings, STORE_THREADS).raw)
    listener = listen("127.0.0.1", 0)
    dependencies = ApiDependencies(load_runtime(settings, "bench"), SafeStore(counting))
    with served(dependencies, listener):
        pipe.send(listener.getsockname()[1])
        while pipe.recv() is not None:
            pipe.send(dict(counting.calls))
            counting.calls.clear()
            counting.gets.clear()


@dataclass
class Server:
    port: int
    pid: int
    _pipe: Connection

    def calls(self) -> Counter[str]:
        """Of the store, since this was last asked."""
        self._pipe.send("calls")
        return Counter(self._pipe.recv())

    def memory_mb(self) -> float:
        resident = Path(f"/proc/{self.pid}/statm").read_text().split()[1]
        return int(resident) * PAGE_BYTES / 2**20


@contextmanager
def serving(settings: Settings) -> Iterator[Server]:
    context = multiprocessing.get_context("spawn")
    mine, its = context.Pipe()
    process = context.Process(target=_serve, args=(settings, its))
    process.start()
    try:
        yield Server(mine.recv(), process.pid or 0, mine)
        mine.send(None)
        process.join(20)
    finally:
        process.kill()


@dataclass(frozen=True)
class Answer:
    status: int
    body: bytes
    seconds: float

    def json(self) -> Any:
        return json.loads(self.body)


def post(path: str, document: Any, prefer: str) -> bytes:
    body = json.dumps(document).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nPrefer: {prefer}\r\n"
    kind = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return (head + kind).encode() + body


def get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()


class Line:
    """A connection that is kept."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def to(cls, port: int) -> Self:
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def ask(self, request: bytes) -> Answer:
        began = time.perf_counter()
        self._writer.write(request)
        head = (await self._reader.readuntil(b"\r\n\r\n")).lower()
        length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
        body = await self._reader.readexactly(length)
        return Answer(int(head[9:12]), body, time.perf_counter() - began)

    def close(self) -> None:
        self._writer.close()


async def ask_all(port: int, requests: Sequence[bytes], lines: int) -> tuple[list[Answer], float]:
    """All of them over so many connections, and the seconds it took. Raises for an answer that is
    no success."""
    waiting = iter(requests)

    async def one() -> list[Answer]:
        line = await Line.to(port)
        found = [await line.ask(request) for request in waiting]
        line.close()
        return found

    began = time.perf_counter()
    found = await asyncio.gather(*(one() for _ in range(lines)))
    seconds = time.perf_counter() - began
    answers = [answer for each in found for answer in each]
    for answer in answers:
        if answer.status not in (200, 202):
            raise RuntimeError(f"{answer.status}: {answer.body[:300]!r}")
    return answers, seconds
