"""What hostile inputs cost the HTTP API: the answer, its seconds, and the memory of the process
with its child beyond what they have when idle.

python -m benchmarks.hostile_inputs [--write]

`--write` puts the table into docs/security.md. The API runs in a process of its own, over a store
in memory; the inputs are made here.
"""

import argparse
import base64
import json
import multiprocessing
import os
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import httpx
from PIL import Image

from benchmarks.setting import goal, machine
from config.logs import configure_logs
from config.settings import Settings
from pipeline.api.dependencies import ApiDependencies
from pipeline.api.server import listen, served
from pipeline.contract.keys import INPUTS
from pipeline.runtime import load_runtime
from pipeline.store.base import Condition, Written
from pipeline.store.conditional import SafeStore
from pipeline.store.memory import MemoryStore
from tests.support.api_fixture import bearer, keys
from tests.support.pictures import encoded, heic, heic_header_alone, plain_webp, with_scans

PAGE = Path(__file__).parent.parent / "docs" / "security.md"
_PART = re.compile(
    r"(<!-- measured: hostile inputs[^>]*-->\n\n).*?(<!-- end of measured)", re.DOTALL
)
MIB = 2**20
SAMPLE_S = 0.01
MOST_MB = 400
"""That a load may take beyond the idle processes."""
MOST_AFTER = 1.2
"""Times its idle memory, of the API's own process, after all of it."""
Bodies = Callable[[], list[bytes]]


@dataclass(frozen=True)
class Row:
    name: str
    answer: str
    seconds: float
    megabytes: float


def with_picture(picture: bytes, media_type: str = "image/png") -> bytes:
    url = f"data:{media_type};base64,{base64.b64encode(picture).decode()}"
    return json.dumps({"prompt": "a portrait", "reference_image": url}).encode()


def phone_jpeg() -> Image.Image:
    """48 megapixels with the noise of a sensor."""
    tile = Image.merge("RGB", [Image.effect_noise((1008, 756), 40) for _ in range(3)])
    whole = Image.new("RGB", (8064, 6048))
    for x in range(0, 8064, 1008):
        for y in range(0, 6048, 756):
            whole.paste(tile, (x, y))
    return whole


def inputs() -> Mapping[str, Bodies]:
    """Each made when its turn comes; more than one body are sent at once."""
    return {
        "a PNG of 512 x 512": lambda: [with_picture(encoded(Image.new("RGB", (512, 512))))],
        "a JPEG of 48 megapixels and noise": lambda: [
            with_picture(encoded(phone_jpeg(), "JPEG", quality=60))
        ],
        "a HEIC of 48 megapixels": lambda: [with_picture(heic(Image.new("RGB", (8064, 6048))))],
        "a PNG of 64 megapixels, of one colour": lambda: [
            with_picture(encoded(Image.new("RGB", (8000, 8000))))
        ],
        "a PNG of 64 megapixels, 16-bit grey": lambda: [
            with_picture(encoded(Image.new("I;16", (8000, 8000), 40_000)))
        ],
        "a JPEG of 300 scans, 8 megapixels": lambda: [with_picture(with_scans(300, 2900))],
        "a JPEG of 30 scans, 33 megapixels": lambda: [with_picture(with_scans(30, 5800))],
        "a lossless WebP of 20 megapixels": lambda: [with_picture(plain_webp(4500, 4500))],
        "a lossless WebP of 32 megapixels": lambda: [with_picture(plain_webp(6400, 5000))],
        "four of 32 megapixels at once": lambda: [with_picture(plain_webp(6400, 5000))] * 4,
        "four of 20 megapixels at once": lambda: [with_picture(plain_webp(4500, 4500))] * 4,
        "six JPEGs of 48 megapixels at once": lambda: (
            [with_picture(encoded(Image.new("RGB", (8064, 6048)), "JPEG"))] * 6
        ),
        "a HEIC header and zeros": lambda: [with_picture(heic_header_alone(), "image/jpeg")],
        "an animated WebP": lambda: [
            with_picture(
                encoded(
                    Image.new("RGB", (900, 900)),
                    "WEBP",
                    save_all=True,
                    append_images=[Image.new("RGB", (900, 900), "red")] * 20,
                )
            )
        ],
        "base64 without what makes it a data URL": lambda: [
            json.dumps(
                {
                    "prompt": "x",
                    "reference_image": base64.b64encode(
                        encoded(Image.new("RGB", (64, 64)))
                    ).decode(),
                }
            ).encode()
        ],
        "a data URL of 30 MB of zeros": lambda: [with_picture(bytes(22 * MIB))],
        "a body of 40 MB": lambda: [b" " * (40 * MIB)],
        "30 MB of brackets": lambda: [b"[" * (30 * MIB)],
        "an object of a million fields": lambda: [
            json.dumps({f"field{n}": n for n in range(1_000_000)}).encode()
        ],
    }


def main(arguments: list[str] | None = None) -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--write", action="store_true")
    write = options.parse_args(arguments).write
    with serving() as server:
        server.ask(with_picture(encoded(Image.new("RGB", (64, 64)))))  # the child is there
        time.sleep(0.5)
        idle, own = server.memory(), server.own_memory()
        rows = [measured(server, idle, name, bodies()) for name, bodies in inputs().items()]
        beside = measured_beside(server, idle)
        time.sleep(2.0)
        after = server.own_memory() / own
    text = table([*rows, beside], idle, own, after)
    print(text)
    if write:
        page = PAGE.read_text("utf-8")
        PAGE.write_text(_PART.sub(lambda m: f"{m[1]}{text}\n{m[2]}", page), "utf-8")
    worst = max(row.megabytes for row in rows)
    goal(f"no input takes more than {MOST_MB} MB beyond idle", met=worst <= MOST_MB)
    goal(f"the API's own process has {MOST_AFTER} times its idle memory or less afterwards",
         met=after <= MOST_AFTER)  # fmt: skip


def table(rows: list[Row], idle: float, own: float, after: float) -> str:
    lines = [
        f"`python -m benchmarks.hostile_inputs --write`, {machine()}. Idle, the API's process has"
        f" {own:.0f} MB, with its child {idle:.0f} MB; after all of this it has {after:.2f} times"
        " that.",
        "",
        "| input | answer | seconds | MB beyond idle |",
        "| --- | --- | ---: | ---: |",
    ]
    lines += [f"| {r.name} | {r.answer} | {r.seconds:.1f} | {r.megabytes:.0f} |" for r in rows]
    return "\n".join(lines) + "\n"


def measured(server: "Server", idle: float, name: str, bodies: list[bytes]) -> Row:
    with server.peak() as peak, ThreadPoolExecutor(len(bodies)) as pool:
        begun = time.monotonic()
        answers = list(pool.map(server.ask, bodies))
        seconds = time.monotonic() - begun
    return Row(name, ", ".join(dict.fromkeys(answers)), seconds, peak[0] - idle)


def measured_beside(server: "Server", idle: float) -> Row:
    """A small picture of one tenant, while six large ones of another are there."""
    large = with_picture(encoded(Image.new("RGB", (8000, 8000))))
    small = with_picture(encoded(Image.new("RGB", (512, 512))))
    with server.peak() as peak, ThreadPoolExecutor(7) as pool:
        others = [pool.submit(server.ask, large) for _ in range(6)]
        time.sleep(0.3)
        begun = time.monotonic()
        answer = server.ask(small, "honest")
        seconds = time.monotonic() - begun
        for each in others:
            each.result()
    name = "a small PNG, while six of 64 megapixels of another tenant wait"
    return Row(name, answer, seconds, peak[0] - idle)


@dataclass(frozen=True)
class Server:
    url: str
    pid: int

    def ask(self, body: bytes, tenant: str = "attacker") -> str:
        """Status and code."""
        headers = {"Content-Type": "application/json", "Prefer": "wait=0", **bearer(tenant)}
        answer = httpx.post(
            f"{self.url}/flux-instantid", content=body, headers=headers, timeout=120
        )
        told = answer.json()
        code = told.get("code")
        return f"{answer.status_code}: {told['detail'][:90]}" if code else str(answer.status_code)

    def own_memory(self) -> float:
        return _resident_mb(self.pid)

    def memory(self) -> float:
        return sum(map(_resident_mb, [self.pid, *_descendants(self.pid)]))

    @contextmanager
    def peak(self) -> Iterator[list[float]]:
        """The most that was seen inside, when it is left."""
        found, over = [0.0], threading.Event()

        def watch() -> None:
            while not over.wait(SAMPLE_S):
                found[0] = max(found[0], self.memory())

        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            yield found
        finally:
            over.set()
            watcher.join()


def _resident_mb(pid: int) -> float:
    with suppress(OSError, IndexError):
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / MIB
    return 0.0


def _descendants(pid: int) -> Iterator[int]:
    with suppress(OSError):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            for child in (thread / "children").read_text().split():
                yield int(child)
                yield from _descendants(int(child))


class Forgetful(MemoryStore):
    """What it holds would count as the API's memory."""

    def put(
        self,
        key: str,
        body: bytes,
        condition: Condition,
        content_type: str = "application/octet-stream",
    ) -> Written:
        return super().put(
            key, body[:16] if key.startswith(INPUTS) else body, condition, content_type
        )


@contextmanager
def serving() -> Iterator[Server]:
    context = multiprocessing.get_context("spawn")
    mine, its = context.Pipe()
    process = context.Process(target=_serve, args=(its,))
    process.start()
    try:
        yield Server(mine.recv(), process.pid or 0)
        mine.send(None)
        process.join(20)
    finally:
        process.kill()


def _serve(pipe: Connection) -> None:
    """Until the pipe says anything."""
    settings = Settings.model_validate(
        {
            "api_keys": keys(attacker="attacker", honest="honest"),
            "api_requests_per_minute": 100_000,
            "api_jobs_per_tenant": 100_000,
            "log_level": "error",
        }
    )
    configure_logs(settings)
    listener: socket.socket = listen("127.0.0.1", 0)
    store = SafeStore(Forgetful())
    with served(ApiDependencies(load_runtime(settings, "bench"), store), listener):
        host, port = listener.getsockname()[:2]
        pipe.send(f"http://{host}:{port}")
        pipe.recv()


if __name__ == "__main__":
    main()
