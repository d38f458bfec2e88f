"""The pipeline as it runs: a dispatcher in a thread, workers as child processes, a real store.

Lifetimes are seconds instead of minutes.
"""

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from threading import Thread
from typing import Any

from config.routes import RouteTable
from config.settings import Settings
from events.sender import Sender
from pipeline.contract.keys import lease_key, result_key
from pipeline.contract.lease import Lease, Phase
from pipeline.contract.result import Result
from pipeline.dispatcher.dispatcher import Dispatcher
from pipeline.dispatcher.hand_back import hand_back_lost
from pipeline.dispatcher.loop import Wakeup, dispatch
from pipeline.dispatcher.memory import DispatcherMemory
from pipeline.engines.local import LocalEngine
from pipeline.engines.own_machine import on_this_machine
from pipeline.notify.sinks import make_sink
from pipeline.runtime import load_runtime
from pipeline.store.conditional import SafeStore
from pipeline.store.open import open_store
from tests.support.manifests import body

SHORT: dict[str, Any] = {
    "claim_seconds": 2,
    "spawned_seconds": 20,
    "running_seconds": 3,
    "renew_seconds": 0.8,
    "first_renew_seconds": 0.3,
    "expiry_margin_seconds": 0,
    "backoff_base_seconds": 0.1,
    "backoff_cap_seconds": 0.1,
    "poll_active_seconds": 0.1,
    "poll_idle_seconds": 0.3,
    "job_timeout_seconds": 20,
    "log_level": "warning",
}

ROUTES = """
[routes.Flux]
comfyui_flags = ["--allow-faults", "--step-seconds", "0"]
"""


def quick(settings: Settings, **changes: Any) -> Settings:
    """The same bucket with short lifetimes, and a stand-in that takes no time and obeys faults."""
    routes = settings.state_dir / "routes.toml"
    routes.write_text(ROUTES)
    given = settings.model_dump(exclude_unset=True)
    return Settings.model_validate({**given, "routes_file": routes, **SHORT, **changes})


def wait_until(holds: Callable[[], object], seconds: float = 30.0) -> bool:
    until = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > until:
            return False
        time.sleep(0.03)
    return True


class Bucket:
    """What a test reads of it."""

    def __init__(self, store: SafeStore) -> None:
        self.store = store

    def submit(self, id: str, prompt: str = "a cat", **changes: Any) -> None:
        self.store.create(f"inbox/{id}.json", body(prompt, **changes))

    def keys(self, prefix: str = "") -> list[str]:
        return [entry.key for entry in self.store.list(prefix).entries]

    def read(self, key: str) -> bytes:
        stored = self.store.get(key)
        assert stored is not None, key
        return stored.body

    def json(self, key: str) -> Any:
        return json.loads(self.read(key))

    def find_result(self, id: str) -> Result | None:
        stored = self.store.get(result_key(id))
        return None if stored is None else Result.parse(stored.body)

    def lease(self, id: str) -> Lease | None:
        stored = self.store.get(lease_key(id))
        return None if stored is None else Lease.parse(stored.body)

    def result(self, id: str, seconds: float = 60.0) -> Result:
        """Waits for it."""
        assert wait_until(lambda: self.find_result(id), seconds), (id, self.lease(id), self.keys())
        result = self.find_result(id)
        assert result is not None
        return result

    def wait_running(self, id: str, seconds: float = 60.0) -> Lease:
        def runs() -> bool:
            lease = self.lease(id)
            return lease is not None and lease.phase is Phase.RUNNING

        assert wait_until(runs, seconds), (self.lease(id), self.keys())
        lease = self.lease(id)
        assert lease is not None
        return lease

    def wait_settled(self, seconds: float = 60.0) -> None:
        """Until nothing waits and nobody holds a job."""
        empty = wait_until(lambda: not self.keys("inbox/") and not self.keys("leases/"), seconds)
        assert empty, self.keys()

    def check_outputs(self, result: Result) -> None:
        """Each output is there, with the size and sum that the result names."""
        for output in result.outputs:
            content = self.read(output.key)
            assert len(content) == output.bytes
            assert hashlib.sha256(content).hexdigest() == output.sha256


class Stack(Bucket):
    def __init__(self, settings: Settings, *, idle_s: float = 60) -> None:
        super().__init__(open_store(settings))
        self.settings = settings
        self.runtime, machine = on_this_machine(load_runtime(settings, "local"), os.environ)
        memory = DispatcherMemory()
        lost = partial(hand_back_lost, self.store, settings, memory.lease_cache)
        routes = _idle_for(idle_s, self.runtime.routes)
        self.engine = LocalEngine(settings, routes, os.environ, lost, machine)
        self.sink = make_sink(settings)
        self.sender = Sender(self.sink)
        self.pool = ThreadPoolExecutor(4)
        self.dispatcher = Dispatcher(
            *(self.store, self.engine, self.sender, self.runtime, self.pool, "test", memory)
        )
        self._wakeup = Wakeup()
        self._thread = Thread(target=dispatch, args=(self.dispatcher, self._wakeup))

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """As Ctrl-C does: no further tick, then the workers hand back what they have."""
        self._wakeup.stop()
        self._thread.join()
        self.engine.close()
        self.sender.close(5)
        self.pool.shutdown()


def _idle_for(seconds: float, table: RouteTable) -> RouteTable:
    """Shorter than a table can say."""
    routes = {
        name: route.model_copy(update={"idle_s": seconds}) for name, route in table.routes.items()
    }
    return table.model_copy(update={"routes": routes})


@contextmanager
def running(settings: Settings, **options: Any) -> Iterator[Stack]:
    stack = Stack(settings, **options)
    stack.start()
    try:
        yield stack
    finally:
        stack.stop()
