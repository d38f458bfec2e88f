"""Workers as child processes of this one: what Modal's containers are, on one machine."""

import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from threading import Condition, Thread
from typing import IO, Any
from uuid import uuid4

import structlog

from config.errors import EngineUnavailable
from config.routes import Route, RouteTable
from config.settings import PREFIX, Settings, devices
from pipeline.contract.keys import DEFAULT_PRIORITY, parse_inbox_key
from pipeline.loras.eviction import LoraEviction
from pipeline.queue.admission import aged
from pipeline.queue.spawn import SpawnPayload
from system.backoff import Backoff
from system.supervised_process import SupervisedProcess

VISIBLE = "CUDA_VISIBLE_DEVICES"
"""What CUDA shows a process of the machine's GPUs."""
CLOSE_SECONDS = 30
"""How long a worker may take to hand its job back and let its events out."""
FAILURES = 3
"""Failed starts in a row after which a route takes no more jobs until a start succeeds."""
BACKOFF = Backoff(first_s=0.5, longest_s=30.0)
"""By failed starts in a row; the first pause is that after none."""


class LocalEngine:
    """Starts workers when jobs come, up to `local_workers` a route and GPU, and unloads idle ones.

    A worker that dies takes one job with it; the job's lease brings it back.
    """

    def __init__(self, settings: Settings, routes: RouteTable, environ: Mapping[str, str]) -> None:
        """`environ` is this process's own; children get it with these settings in place of its."""
        self._settings = settings
        self._routes = routes
        self._environ = {
            name: value for name, value in environ.items() if not name.startswith(PREFIX)
        } | settings.environ()
        self._loras = LoraEviction.of(settings)
        self._crews: dict[str, _Crew] = {}
        self._closed = False

    def submit(self, route: str, payload: SpawnPayload) -> str:
        """Raises EngineUnavailable once it is closed, for a route that is not there, and while the
        starts of its workers fail."""
        if self._closed:
            raise EngineUnavailable("the local engine is closed")
        if route not in self._routes.routes:
            raise EngineUnavailable(f"the local engine has no route {route}")
        if route not in self._crews:
            self._crews[route] = _Crew(
                self._routes.route(route), self._settings, self._environ, self._loras
            )
        order = _Order(uuid4().hex, payload, time.monotonic())
        self._crews[route].put(order)
        return order.call_id

    def cancel(self, call_id: str) -> None:
        """Nothing to do: the worker finds its lease gone at its next renewal."""

    def pids(self) -> tuple[int, ...]:
        """Of the workers that are up."""
        return tuple(pid for crew in self._crews.values() for pid in crew.pids())

    def close(self) -> Sequence[SpawnPayload]:
        """Running jobs are handed back by their workers. Returns those whose start nobody saw."""
        self._closed = True
        return [payload for crew in self._crews.values() for payload in crew.close()]


@dataclass(frozen=True)
class _Order:
    call_id: str
    payload: SpawnPayload
    put_at: float
    """On the monotonic clock."""

    def rank(self, now: float, aging_s: float) -> tuple[int, datetime]:
        """Lower first: by level, then by age, as in the inbox."""
        lease, claimed_at = self.payload.lease, self.payload.claimed_at
        since = lease.waits_since if lease else claimed_at
        priority = parse_inbox_key(lease.entry).priority if lease else DEFAULT_PRIORITY
        waited_s = (claimed_at - since).total_seconds() + now - self.put_at
        return (-aged(priority, waited_s, aging_s), since)


class _Crew:
    """The workers of one route. Each is tended by a thread of its own."""

    def __init__(
        self, route: Route, settings: Settings, environ: Mapping[str, str], loras: LoraEviction
    ) -> None:
        self._route = route
        self._environ = environ
        self._loras = loras
        self._folder = settings.state_dir.absolute() / "workers"
        self._devices = devices(settings)
        self._most = settings.local_workers * max(1, len(self._devices))
        self._aging_s = settings.aging_seconds
        self._changed = Condition()
        self._orders: list[_Order] = []
        self._given: dict[int, _Order] = {}
        """By slot, what a worker was given and has not answered."""
        self._workers: dict[int, _Child] = {}
        self._threads: dict[int, Thread] = {}
        self._idle = 0
        self._failures = 0
        self._closed = False

    def put(self, order: _Order) -> None:
        with self._changed:
            if self._failures >= FAILURES:
                raise EngineUnavailable(
                    f"workers of route {self._route.name} do not start",
                    hint=f"Read the newest log in {self._folder}.",
                )
            self._orders.append(order)
            if self._idle < len(self._orders) and len(self._threads) < self._most:
                slot = min(set(range(self._most)) - set(self._threads))
                self._threads[slot] = Thread(target=self._tend, args=(slot,), daemon=True)
                self._threads[slot].start()
            self._changed.notify()

    def pids(self) -> list[int]:
        with self._changed:
            return [pid for child in self._workers.values() if (pid := child.pid) is not None]

    def close(self) -> list[SpawnPayload]:
        with self._changed:
            self._closed = True
            for child in self._workers.values():
                child.terminate()
            self._changed.notify_all()
            threads = list(self._threads.values())
        for thread in threads:
            thread.join(CLOSE_SECONDS)
        for child in list(self._workers.values()):
            child.kill()
        with self._changed:
            return [order.payload for order in (*self._orders, *self._given.values())]

    def _tend(self, slot: int) -> None:
        """One worker: started for an order, kept while orders come, ended when idle.

        The slot is free again only when its worker is gone: they share a folder.
        """
        while not self._left(slot):
            child: _Child | None = None
            while (order := self._next(idle_s=self._route.idle_s)) is not None:
                if child is not None and not child.running:  # else the order would be lost in it
                    self._complain("idle_worker_died", child)
                    self._forget(slot)
                    child = None
                if child is None:
                    child = self._start(slot)
                if child is None:
                    self._put_back(order)
                elif not self._execute(slot, child, order):
                    self._complain("worker_died", child, job=order.payload.id)
                    self._forget(slot)
                    child = None
                elif not child.fit:  # it ends by itself: the next order gets another
                    child.stop()
                    self._forget(slot)
                    child = None
                self._loras.tidy()  # Only jobs add files.
            if child is not None:
                child.stop()
                self._forget(slot)

    def _execute(self, slot: int, child: "_Child", order: _Order) -> bool:
        """Whether the worker lived to answer."""
        self._given[slot] = order
        answered = child.execute(order)
        if answered:
            del self._given[slot]
        return answered

    def _left(self, slot: int) -> bool:
        """Whether the slot was given up, because nothing is left to do."""
        with self._changed:
            if self._orders and not self._closed:
                return False
            del self._threads[slot]
            return True

    def _next(self, idle_s: float) -> _Order | None:
        """The next order; None when this worker is no longer needed."""
        with self._changed:
            self._idle += 1
            self._changed.wait_for(lambda: self._orders or self._closed, idle_s)
            self._idle -= 1
            if not self._orders or self._closed:
                return None
            now = time.monotonic()
            first = min(self._orders, key=lambda order: order.rank(now, self._aging_s))
            self._orders.remove(first)
            return first

    def _start(self, slot: int) -> "_Child | None":
        folder = self._folder / f"{self._route.name}-{slot}"
        child = _Child(self._route.name, folder, self._environ_of(slot))
        child.start()
        with self._changed:
            self._workers[slot] = child
            if self._closed:
                child.terminate()
        if child.ready():
            self._failures = 0
            if child.start_error is not None:
                self._complain("comfyui_not_started", child, error=child.start_error)
            return child
        self._forget(slot)
        with self._changed:
            self._failures += 1
            if not self._closed:
                self._complain("worker_not_started", child, tail=child.log_tail(20))
        return None

    def _complain(self, event: str, child: "_Child", **more: object) -> None:
        log = structlog.get_logger(__name__)
        log.error(event, route=self._route.name, log=str(child.log), **more)

    def _environ_of(self, slot: int) -> Mapping[str, str]:
        """Neighbouring slots have different GPUs, so that each has a worker before one has two."""
        if not self._devices:
            return self._environ
        return {**self._environ, VISIBLE: self._devices[slot % len(self._devices)]}

    def _put_back(self, order: _Order) -> None:
        """The order was never seen by a worker, so it waits here for the next one."""
        with self._changed:
            self._orders.append(order)
            self._changed.wait_for(lambda: self._closed, BACKOFF.pause_s(self._failures + 1))

    def _forget(self, slot: int) -> None:
        with self._changed:
            child = self._workers.pop(slot, None)
        if child is not None:
            child.kill()


class _Child(SupervisedProcess):
    """One worker process: orders on its stdin, replies on its stdout, its log in a file."""

    def __init__(self, route: str, folder: Path, environ: Mapping[str, str]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        super().__init__(
            log=folder / "worker.log",
            env=environ,
            grace_s=CLOSE_SECONDS,
            orphan_grace_s=CLOSE_SECONDS,
        )
        self._command = (sys.executable, "-m", "pipeline.engines.local_worker", route, str(folder))
        self._orders: IO[bytes]
        self._replies: IO[bytes]
        self.start_error: str | None = None
        """Why its ComfyUI did not start."""
        self.fit = True
        """Whether it takes a further order."""

    def start(self) -> None:
        child = self.spawn(self._command, dialogue=True)
        assert child.stdin is not None
        assert child.stdout is not None
        self._orders, self._replies = child.stdin, child.stdout

    def ready(self) -> bool:
        """Waits until it can take orders. False when it ended instead."""
        reply = self._reply()
        if reply is not None:
            self.start_error = reply.get("error")
        return reply is not None

    def execute(self, order: _Order) -> bool:
        """Waits for the end of one job. False when the worker died."""
        line = {"call_id": order.call_id, "payload": order.payload.model_dump(mode="json")}
        try:
            self._orders.write(json.dumps(line).encode() + b"\n")
            self._orders.flush()
        except (OSError, ValueError):  # it died, or was killed by another thread
            return False
        reply = self._reply()
        self.fit = reply is not None and reply.get("fit", True)
        return reply is not None

    def _reply(self) -> dict[str, Any] | None:
        try:
            reply: dict[str, Any] = json.loads(self._replies.readline())
        except ValueError:
            return None
        return reply
