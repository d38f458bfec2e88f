"""Stands for the `runpod` package where that is not installed: its loop takes one job at a time,
and asks the same addresses."""

import asyncio
import json
import os
import signal
from typing import Any
from urllib.error import URLError
from urllib.request import Request, urlopen

WORKER = os.environ["RUNPOD_POD_ID"]
KEY = os.environ["RUNPOD_AI_API_KEY"]


class serverless:  # noqa: N801  stands for a module
    @staticmethod
    def progress_update(job: Any, progress: Any) -> None:
        """Nobody looks."""

    @staticmethod
    def start(config: dict[str, Any]) -> None:
        asyncio.run(_loop(config))


async def _loop(config: dict[str, Any]) -> None:
    ended = asyncio.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    while config["concurrency_modifier"](1) and not ended.is_set():
        job = await asyncio.to_thread(_ask, os.environ["RUNPOD_WEBHOOK_GET_JOB"], "$ID", WORKER)
        if job is not None:
            output = {"output": await config["handler"](job)}
            address = os.environ["RUNPOD_WEBHOOK_POST_OUTPUT"].replace("$RUNPOD_POD_ID", WORKER)
            await asyncio.to_thread(_ask, address, "$ID", job["id"], json.dumps(output).encode())


def _ask(address: str, word: str, meant: str, body: bytes | None = None) -> Any:
    request = Request(address.replace(word, meant), body, {"Authorization": KEY})
    try:
        with urlopen(request, timeout=30) as reply:
            return json.loads(reply.read() or b"null")
    except (URLError, ConnectionError):
        return None
