"""Everything a dispatcher needs, over a store in memory whose clock the test turns."""

import json
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from config.settings import Settings
from events.sender import Sender
from events.sink import EventSink, MemorySink, NotDelivered
from pipeline.contract.keys import lease_key, result_key
from pipeline.contract.lease import Lease
from pipeline.contract.result import Result
from pipeline.dispatcher.dispatcher import Dispatcher
from pipeline.dispatcher.engine import Engine
from pipeline.dispatcher.tick import TickReport, tick
from pipeline.notify.delivery import ResultDelivery
from pipeline.public_https import INTERNET, PublicHttps
from pipeline.runtime import RuntimeConfig, load_runtime
from pipeline.store.base import (
    ALWAYS,
    Always,
    Condition,
    IfMatch,
    Page,
    Store,
    Stored,
    Written,
)
from pipeline.store.conditional import SafeStore
from pipeline.store.memory import MemoryStore
from system.backoff import Backoff
from tests.support.instant_comfyui import (
    HoldingEngine,
    InstantEngine,
    InstantServer,
    worker_context,
)
from tests.support.manifests import body

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


class CountingStore:
    """Counts the calls to a store, by kind and first folder, and can be told to fail."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.calls: Counter[str] = Counter()
        self.gets: list[str] = []
        self.fail: Callable[[str, str], Exception | None] = lambda call, key: None

    def _count(self, call: str, key: str) -> None:
        self.calls[call] += 1
        problem = self.fail(call, key)
        if problem is not None:
            raise problem

    def get(self, key: str, *, offset: int = 0, limit: int | None = None) -> Stored | None:
        self._count("GET", key)
        self.gets.append(key)
        return self._store.get(key, offset=offset, limit=limit)

    def put(
        self, key: str, body: bytes, condition: Condition, content_type: str = "application/json"
    ) -> Written:
        self._count("PUT", key)
        return self._store.put(key, body, condition, content_type)

    def delete(self, key: str, condition: IfMatch | Always = ALWAYS) -> None:
        self._count("DELETE", key)
        self._store.delete(key, condition)

    def list(self, prefix: str, *, start_after: str = "", limit: int = 1000) -> Page:
        self._count("LIST", prefix)
        return self._store.list(prefix, start_after=start_after, limit=limit)


class WatchedSender(Sender):
    """Knows when everything that it was given is answered for."""

    def __init__(self, sink: EventSink, **options: Any) -> None:
        self._open = 0
        self._answered = threading.Condition()
        super().__init__(sink, **options)

    def run(
        self,
        send: Callable[[], object],
        on_delivered: Callable[[], None],
        on_undelivered: Callable[[NotDelivered], None],
        **options: Any,
    ) -> None:
        def answered(then: Callable[..., None], *failure: NotDelivered) -> None:
            try:
                then(*failure)
            finally:
                with self._answered:
                    self._open -= 1
                    self._answered.notify_all()

        with self._answered:
            self._open += 1
        super().run(
            send,
            lambda: answered(on_delivered),
            lambda failure: answered(on_undelivered, failure),
            **options,
        )

    def wait(self) -> None:
        with self._answered:
            assert self._answered.wait_for(lambda: self._open == 0, timeout=30)


class PipelineFixture:
    def __init__(
        self,
        *,
        server: InstantServer | None = None,
        holding: bool = False,
        sink: EventSink | None = None,
        gpu: str = "none",
        raw: Store | None = None,
        conditional_delete: bool = False,
        routes: str | None = None,
        tmp_path: Path | None = None,
        web: PublicHttps = INTERNET,
        turned: bool = False,
        **settings: Any,
    ) -> None:
        """`holding` keeps spawned jobs waiting; else they run at once. `routes` is TOML. `turned`
        has the sender's pauses pass with the test's clock, too."""
        self.now = NOON
        self.web = web
        if routes is not None:
            assert tmp_path is not None
            settings["routes_file"] = tmp_path / "routes.toml"
            settings["routes_file"].write_text(routes)
        self.settings = Settings.model_validate({"expiry_margin_seconds": 0, **settings})
        self.runtime: RuntimeConfig = load_runtime(self.settings, "local")
        self.raw = CountingStore(raw or MemoryStore(lambda: self.now))
        self.sink = sink or MemorySink()
        self.sender = (
            WatchedSender(self.sink, clock=self._seconds)
            if turned
            else WatchedSender(self.sink, backoff=Backoff(first_s=0.01, longest_s=0.05))
        )
        self._conditional_delete = conditional_delete
        self.store = self.safe()
        self.context = worker_context(
            self.store, self.delivery, self.runtime, server, gpu=gpu, jitter=lambda: 1.0
        )
        self.held = HoldingEngine()
        self.engine: Engine = self.held if holding else InstantEngine(self.context)
        self.pool = ThreadPoolExecutor(4)
        self.dispatcher = self.another("dispatcher")

    def _seconds(self) -> float:
        return self.now.timestamp()

    def safe(self) -> SafeStore:
        """Time stands still but for `pass_time`."""
        return SafeStore(
            self.raw,
            conditional_delete=self._conditional_delete,
            tries=3,
            sleep=lambda _: None,
            monotonic=lambda: 0.0,
        )

    @property
    def delivery(self) -> ResultDelivery:
        return ResultDelivery(self.store, self.sender, self.settings, lambda: 1.0, self.web)

    def another(self, owner: str, engine: Engine | None = None) -> Dispatcher:
        return Dispatcher(
            self.store,
            engine or self.engine,
            self.sender,
            self.runtime,
            self.pool,
            owner,
            jitter=lambda: 1.0,
            web=self.web,
        )

    def close(self) -> None:
        self.pool.shutdown()
        self.sender.close(5)

    def pass_time(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    def submit(self, id: str, manifest: bytes | None = None, *, key: str | None = None) -> None:
        self.raw._store.put(
            key or f"inbox/{id}.json", body() if manifest is None else manifest, Always()
        )

    def tick(self, dispatcher: Dispatcher | None = None) -> TickReport:
        report = tick(dispatcher or self.dispatcher)
        self.deliver()
        return report

    def deliver(self) -> None:
        """Wait until the sender has answered for everything so far."""
        self.sender.wait()

    def keys(self, prefix: str = "") -> list[str]:
        keys: list[str] = []
        page = self.raw._store.list(prefix)
        while True:
            keys += [entry.key for entry in page.entries]
            if not page.truncated:
                return keys
            page = self.raw._store.list(prefix, start_after=keys[-1])

    def result(self, id: str) -> Result:
        stored = self.raw._store.get(result_key(id))
        assert stored is not None, f"{id} has no result; there is {self.keys()}"
        result = Result.parse(stored.body)
        assert result is not None
        return result

    def lease(self, id: str) -> Lease:
        stored = self.raw._store.get(lease_key(id))
        assert stored is not None, f"{id} has no lease; there is {self.keys()}"
        lease = Lease.parse(stored.body)
        assert lease is not None
        return lease

    def rejected(self) -> list[dict[str, Any]]:
        stored = [self.raw._store.get(key) for key in self.keys("rejected/")]
        return [json.loads(each.body) for each in stored if each is not None]

    def event_names(self) -> list[str]:
        assert isinstance(self.sink, MemorySink)
        return [event.event for event in self.sink.events]
