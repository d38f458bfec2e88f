"""Dispatchers and workers as processes that can die at any store call, over one bucket in memory.

Everything runs in the caller's thread and in the same order each time, so that calls have numbers.
The bucket checks at every write what must hold at every moment.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count

from config.errors import RylaError
from config.settings import Settings
from events.sender import EVENTS, Sender
from events.sink import NotDelivered
from events.stored_event import StoredEvent
from pipeline.contract.keys import lease_key, manifest_key, result_key
from pipeline.contract.lease import Lease, Phase
from pipeline.contract.result import Result
from pipeline.contract.tombstone import MANIFEST
from pipeline.dispatcher.dispatcher import Dispatcher
from pipeline.dispatcher.tick import tick
from pipeline.notify.delivery import ResultDelivery
from pipeline.queue.spawn import SpawnPayload
from pipeline.runtime import RuntimeConfig, load_runtime
from pipeline.store.base import ALWAYS, Always, Condition, IfMatch, PreconditionFailed, Written
from pipeline.store.conditional import SafeStore
from pipeline.store.memory import MemoryStore
from pipeline.worker.execution import execute
from tests.support.faulty_store import Died, Fault, FaultyStore
from tests.support.inline_pool import InlinePool
from tests.support.instant_comfyui import InstantServer, worker_context

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
SETTINGS = Settings(
    expiry_margin_seconds=0,
    claim_seconds=30,
    spawned_seconds=60,
    running_seconds=30,
    renew_seconds=10,
    backoff_base_seconds=1,
    backoff_cap_seconds=1,
    max_attempts=4,
)
RUNTIME: RuntimeConfig = load_runtime(SETTINGS, "local")


class AuditedStore(MemoryStore):
    """Raises AssertionError at a write that breaks the protocol."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        super().__init__(clock)
        self.jobs: set[str] = set()
        self.executions: dict[tuple[str, int], str] = {}
        """(id, attempt) → nonce of the one execution that has this number."""

    def has(self, key: str) -> bool:
        return self.get(key) is not None

    def put(
        self, key: str, body: bytes, condition: Condition, content_type: str = "application/json"
    ) -> Written:
        before = self.get(key)
        written = super().put(key, body, condition, content_type)
        if key.startswith("jobs/") and not _is_tombstone(key, body):
            assert before is None or before.body == body, f"{key} was overwritten"
        if key.startswith("inbox/"):
            self.jobs.add(_job_of(key))
        if key.startswith("leases/"):
            self._check_execution(Lease.parse(body))
        self._check_nothing_is_lost()
        return written

    def delete(self, key: str, condition: IfMatch | Always = ALWAYS) -> None:
        stored = self.get(key)
        if stored is not None and condition not in (ALWAYS, IfMatch(stored.etag)):
            raise PreconditionFailed(key)
        if stored is not None and key.startswith("inbox/"):
            manifest = self.get(manifest_key(_job_of(key)))
            filed = [json.loads(each)["sha256"] for each in self.bodies("rejected/")]
            assert (manifest is not None and manifest.body == stored.body) or (
                hashlib.sha256(stored.body).hexdigest() in filed
            ), f"{key} was deleted, neither adopted nor filed"
        if stored is not None and key.startswith("leases/"):
            id = key.removeprefix("leases/").removesuffix(".json")
            assert self.has(result_key(id)), f"{key} was deleted before a result stood"
            noted = [entry.key for entry in self.list("spend/").entries]
            assert any(each.endswith(f".{id}") for each in noted), f"{id} counts nowhere"
        super().delete(key, condition)
        self._check_nothing_is_lost()

    def bodies(self, prefix: str) -> list[bytes]:
        found = [self.get(entry.key) for entry in self.list(prefix).entries]
        return [stored.body for stored in found if stored is not None]

    def _check_execution(self, lease: Lease | None) -> None:
        if lease is not None and lease.phase is Phase.RUNNING:
            first = self.executions.setdefault((lease.id, lease.attempt), lease.nonce)
            assert first == lease.nonce, f"two executions of attempt {lease.attempt}"

    def _check_nothing_is_lost(self) -> None:
        waiting = {_job_of(entry.key) for entry in self.list("inbox/").entries}
        for id in self.jobs - waiting:
            held = self.has(lease_key(id)) and self.has(manifest_key(id))
            assert held or self.has(result_key(id)), f"{id} is lost"


def _is_tombstone(key: str, body: bytes) -> bool:
    """The one thing that may take the place of another."""
    result = Result.parse(body) if key.endswith("/result.json") else None
    return body == MANIFEST or (result is not None and result.erasure is not None)


def _job_of(key: str) -> str:
    return key.removesuffix(".json").rpartition("/")[2].rpartition(".")[2]


class StrictSink:
    """Takes every event once, and in the same words each time. Fails as often as it is told."""

    def __init__(self, failures: int = 0) -> None:
        self.failures = failures
        self.events: dict[str, StoredEvent] = {}

    def deliver(self, events: Sequence[StoredEvent]) -> Sequence[StoredEvent]:
        if self.failures:
            self.failures -= 1
            raise NotDelivered("503")
        for event in events:
            first = self.events.setdefault(event.uuid, event)
            assert first.wire() == event.wire(), "a replay differs from what was sent before"
        return ()


class InlineSender(Sender):
    """Sends in the caller's thread."""

    def __init__(self, sink: StrictSink) -> None:
        self._strict = sink

    def deliver(self, events: Sequence[StoredEvent]) -> None:
        self._strict.deliver(events)

    def run(
        self,
        send: Callable[[], object],
        on_delivered: Callable[[], None],
        on_undelivered: Callable[[NotDelivered], None],
        **_: object,
    ) -> None:
        try:
            send()
        except NotDelivered as failure:
            on_undelivered(failure)
        else:
            on_delivered()

    def room(self, target: str = EVENTS) -> int:
        return 1000


@dataclass
class ListingEngine:
    """Notes what is to be executed."""

    payloads: list[SpawnPayload] = field(default_factory=list)
    spawned: int = 0

    def submit(self, route: str, payload: SpawnPayload) -> None:
        self.spawned += 1
        self.payloads.append(payload)

    def cancel(self, call_id: str) -> None:
        pass

    def take(self) -> list[SpawnPayload]:
        """What was spawned since the last look."""
        payloads, self.payloads = self.payloads, []
        return payloads


class Simulation:
    def __init__(
        self,
        *,
        fault: Fault | None = None,
        at: int = -1,
        before: Callable[["Simulation", SpawnPayload], None] | None = None,
        sink_failures: int = 0,
        runtime: RuntimeConfig = RUNTIME,
        gpu: str = "none",
    ) -> None:
        """The fault comes at call number `at`, counted over all processes. `before` is called in
        the middle of each execution, and may execute something else, or raise. `gpu` is what the
        workers have, and are billed for."""
        self.runtime, self.gpu = runtime, gpu
        self.now = NOON
        self.bucket = AuditedStore(lambda: self.now)
        self.sink = StrictSink(sink_failures)
        self.sender = InlineSender(self.sink)
        self.engine = ListingEngine()
        self.calls = 0
        self._fault, self._at = fault, at
        self._before = before
        self._nonces = count()
        self._pool = InlinePool()
        self.dispatchers = [self.dispatcher(), self.dispatcher()]

    def close(self) -> None:
        self._pool.shutdown()

    def process(self) -> SafeStore:
        """A new process's way to the bucket."""
        return SafeStore(
            FaultyStore(self.bucket, self._fault_now),
            conditional_delete=True,
            tries=3,
            sleep=lambda _: None,
            monotonic=self._seconds,
        )

    def _seconds(self) -> float:
        return self.now.timestamp()

    def _fault_now(self, _: int) -> Fault | None:
        self.calls += 1
        return self._fault if self.calls - 1 == self._at else None

    def nonce(self) -> str:
        return f"n{next(self._nonces)}"

    def dispatcher(self) -> Dispatcher:
        return Dispatcher(
            self.process(),
            self.engine,
            self.sender,
            self.runtime,
            self._pool,
            "dispatcher",
            nonce=self.nonce,
            jitter=lambda: 1.0,
        )

    def pass_time(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    def submit(self, key: str, body: bytes) -> None:
        self.bucket.put(key, body, Always())

    def tick(self, number: int = 0) -> None:
        """One tick; a dispatcher that dies in it is started anew."""
        try:
            tick(self.dispatchers[number])
        except Died:
            self.dispatchers[number] = self.dispatcher()
        except RylaError:
            pass

    def execute(self, payload: SpawnPayload) -> None:
        """In a process of its own."""
        store = self.process()

        def before(**options: object) -> None:
            if self._before is not None:
                self._before(self, payload)

        context = worker_context(
            store,
            ResultDelivery(store, self.sender, SETTINGS, lambda: 1.0),
            self.runtime,
            InstantServer(before),
            gpu=self.gpu,
            nonce=self.nonce,
            jitter=lambda: 1.0,
            monotonic=self._seconds,
        )
        with suppress(Died, RylaError):
            execute(payload, context, call_id=None)

    def run_until_quiet(self, *, dispatchers: int = 1, executions: int = 1) -> None:
        """Tick, execute what was spawned, let time pass, until nothing is left to do."""
        for _ in range(40):
            for number in range(dispatchers):
                self.tick(number)
            for payload in self.engine.take():
                for _ in range(executions):
                    self.execute(payload)
            if not self.bucket.list("inbox/").entries and not self.bucket.list("leases/").entries:
                return
            self.pass_time(7)
        raise AssertionError("it never comes to rest")
