"""What the checks of a bucket work with."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Barrier
from typing import TypeVar
from uuid import uuid4

from pipeline.store.base import ALWAYS, Entry, Store, Written
from pipeline.store.conditional import SafeStore
from pipeline.store.probe import PREFIX

T = TypeVar("T")


@dataclass(frozen=True)
class Bench:
    """What a check works with: keys of its own, and racers."""

    raw: Store
    deaf: Store
    """The same store; its replies to writes are lost."""
    prefix: str
    """Of all keys, those of the probes too."""
    racers: int
    """Threads that write at once."""
    rounds: int
    """How often each thing is tried."""
    sleep: Callable[[float], None] = time.sleep

    @property
    def store(self) -> SafeStore:
        return self.safe(self.raw)

    def safe(self, raw: Store) -> SafeStore:
        return SafeStore(raw, sleep=self.sleep)

    @property
    def nonce(self) -> str:
        """For a probe."""
        return f"{self.prefix.removeprefix(PREFIX)}{uuid4().hex}"

    def put(self, name: str, body: bytes = b"{}") -> Written:
        return self.raw.put(self.prefix + name, body, ALWAYS)

    def names(self, folder: str, *, after: str = "", limit: int = 1000) -> list[str]:
        prefix = self.prefix + folder
        page = self.raw.list(prefix, start_after=prefix + after if after else "", limit=limit)
        return [entry.key.removeprefix(prefix) for entry in page.entries]

    def entry(self, name: str) -> Entry | None:
        """As its folder's listing shows it."""
        key = self.prefix + name
        page = self.raw.list(key[: key.rindex("/") + 1])
        return next((each for each in page.entries if each.key == key), None)

    def race(self, racers: Sequence[Callable[[], T]]) -> list[T]:
        """What each of them got, all having started together."""
        barrier = Barrier(len(racers))

        def go(racer: Callable[[], T]) -> T:
            barrier.wait()
            return racer()

        with ThreadPoolExecutor(len(racers)) as pool:
            return list(pool.map(go, racers))
