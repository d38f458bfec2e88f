"""A dispatcher that ends as by SIGKILL right after the call that it is told.

python -m tests.support.dying_dispatcher POINT      (settings in the environment)
"""

import os
import signal
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from config.settings import load_settings
from events.sender import Sender
from pipeline.contract.lease import Phase
from pipeline.dispatcher.dispatcher import Dispatcher
from pipeline.dispatcher.tick import tick
from pipeline.engines.local import LocalEngine
from pipeline.notify.sinks import make_sink
from pipeline.queue.spawn import SpawnPayload
from pipeline.runtime import load_runtime
from pipeline.store.base import ALWAYS, Always, Condition, IfMatch, Written
from pipeline.store.conditional import SafeStore
from pipeline.store.open import open_store
from pipeline.store.s3 import S3Store
from tests.support.stack import Bucket, wait_until

POINTS = ("claimed", "adopted", "spawned", "executing", "dropped")


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class DyingStore(S3Store):
    """Dies after the first write to a key of this kind."""

    after: Callable[[str, str], bool] = staticmethod(lambda call, key: False)

    def put(
        self, key: str, body: bytes, condition: Condition, content_type: str = "application/json"
    ) -> Written:
        written = super().put(key, body, condition, content_type)
        if self.after("PUT", key):
            die()
        return written

    def delete(self, key: str, condition: IfMatch | Always = ALWAYS) -> None:
        super().delete(key, condition)
        if self.after("DELETE", key):
            die()


WRITES: dict[str, Callable[[str, str], bool]] = {
    "claimed": lambda call, key: call == "PUT" and key.startswith("leases/"),
    "adopted": lambda call, key: call == "PUT" and key.endswith("/manifest.json"),
    "dropped": lambda call, key: call == "DELETE" and key.startswith("inbox/"),
}


class DyingEngine(LocalEngine):
    """Dies after the spawn, at once or when a worker executes the job."""

    point = ""
    bucket: Bucket

    def submit(self, route: str, payload: SpawnPayload) -> str:
        call_id = super().submit(route, payload)
        if self.point == "executing":
            wait_until(lambda: self._runs(payload.id))
            die()
        if self.point == "spawned":
            die()
        return call_id

    def _runs(self, id: str) -> bool:
        lease = self.bucket.lease(id)
        return lease is not None and lease.phase is Phase.RUNNING


def main(point: str) -> None:
    settings = load_settings(os.environ)
    runtime = load_runtime(settings, "local")
    store = open_store(settings)
    dying = DyingStore(settings)
    dying.after = WRITES.get(point, dying.after)
    engine = DyingEngine(settings, runtime.routes, os.environ)
    engine.point, engine.bucket = point, Bucket(store)
    sender = Sender(make_sink(settings))
    pool = ThreadPoolExecutor(1)
    tick(Dispatcher(SafeStore(dying), engine, sender, runtime, pool, f"dying-{os.getpid()}"))
    sys.exit("it should have died")


if __name__ == "__main__":
    main(sys.argv[1])
