"""A worker in a child process: jobs come as JSON lines on stdin, replies go out on stdout.

                                       ← {"ready": true, "error": null}
    → {"call_id": "", "payload": {}}   ← {"call_id": "", "ending": "committed", "fit": true}

`error` says why ComfyUI did not start. A worker that is not fit ends after its reply. Standard
input closed, or SIGTERM: the running job is handed back and the worker closes.
"""

import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import Any

from config.logs import configure_logs
from config.settings import load_settings
from pipeline.worker.worker import Worker
from system.process_start import born_at


def main(route: str, work_dir: str) -> None:
    """Serve the jobs of a route until standard input ends; ComfyUI writes under `work_dir`."""
    settings = load_settings(os.environ)
    configure_logs(settings)
    worker = Worker(
        settings,
        route,
        platform="local",
        environ=os.environ,
        work_dir=Path(work_dir),
        born=born_at(),
    )
    orders: SimpleQueue[dict[str, Any] | None] = SimpleQueue()
    signal.signal(signal.SIGTERM, lambda *_: _end_once(worker, orders))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    try:
        worker.load()
        worker.attach()
        Thread(target=_listen, args=(worker, orders), daemon=True).start()
        error = worker.start_error
        _say({"ready": True, "error": None if error is None else error.message})
        for order in _orders(orders):
            reply = worker.run(order["payload"], order["call_id"])
            _say({"call_id": order["call_id"], **reply, "fit": worker.fit})
            if not worker.fit:
                return
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        worker.close()


def _say(line: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def _orders(orders: "SimpleQueue[dict[str, Any] | None]") -> Iterator[dict[str, Any]]:
    while (order := orders.get()) is not None:
        yield order


def _listen(worker: Worker, orders: "SimpleQueue[dict[str, Any] | None]") -> None:
    for line in sys.stdin:
        orders.put(json.loads(line))
    _end(worker, orders)


def _end_once(worker: Worker, orders: "SimpleQueue[dict[str, Any] | None]") -> None:
    """Of a signal handler: a second one inside the first would wait for its lock forever."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    _end(worker, orders)


def _end(worker: Worker, orders: "SimpleQueue[dict[str, Any] | None]") -> None:
    worker.interrupt()
    orders.put(None)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
