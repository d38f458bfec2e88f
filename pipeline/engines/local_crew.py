"""The workers of one route on this machine: started when orders come, ended when idle."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from threading import Thread

import structlog

from config.errors import EngineUnavailable
from config.routes import Route
from config.settings import Settings, variable
from pipeline.contract.keys import DEFAULT_PRIORITY, parse_inbox_key
from pipeline.engines.card_places import CardPlaces, Key
from pipeline.engines.local_process import CLOSE_SECONDS, WorkerProcess
from pipeline.engines.machine import GIB, ServingCard
from pipeline.engines.own_machine import VISIBLE
from pipeline.loras.eviction import LoraEviction
from pipeline.queue.admission import aged
from pipeline.queue.spawn import Lost, SpawnPayload
from system.backoff import Backoff

BY_BUS = {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
"""So that CUDA counts GPUs as nvidia-smi does, and not the fastest first."""
FAILURES = 3
"""Failed starts in a row after which a route takes no more jobs until a start succeeds."""
NOT_EXECUTED = ("error", "unreadable")
"""Endings of an order that its worker may not have begun, such as while the store was away."""
BACKOFF = Backoff(first_s=0.5, longest_s=30.0)
"""By failed starts in a row; the first pause is that after none."""


@dataclass(frozen=True)
class Order:
    call_id: str
    payload: SpawnPayload
    put_at: float
    """On the monotonic clock."""
    lost: bool = False
    """Its job was handed back; it is kept to see whether a worker starts, which leaves it alone."""

    def rank(self, now: float, aging_s: float) -> tuple[int, datetime]:
        """Lower first: by level, then by age, as in the inbox."""
        lease, claimed_at = self.payload.lease, self.payload.claimed_at
        since = lease.waits_since if lease else claimed_at
        priority = parse_inbox_key(lease.entry).priority if lease else DEFAULT_PRIORITY
        waited_s = (claimed_at - since).total_seconds() + now - self.put_at
        return (-aged(priority, waited_s, aging_s), since)


class Crew:
    """The workers of one route. Each is tended by a thread of its own."""

    def __init__(
        self,
        route: Route,
        settings: Settings,
        environ: Mapping[str, str],
        loras: LoraEviction,
        lost: Lost,
        places: CardPlaces,
    ) -> None:
        self._route = route
        self._places = places
        self._environ = environ
        self._loras = loras
        self._lost = lost
        self._folder = settings.state_dir.absolute() / "workers"
        self._reserve_gib = settings.gpu_reserve_gib
        self._most = places.machine.most(route.name)
        self._aging_s = settings.aging_seconds
        self._changed = places.changed
        self._orders: list[Order] = []
        self._held: dict[int, Order] = {}
        """By slot, what its worker was started for or given, and has not answered."""
        self._workers: dict[int, WorkerProcess] = {}
        self._threads: dict[int, Thread] = {}
        self._idle = 0
        self._failures = 0
        self._closed = False

    def put(self, order: Order) -> None:
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
            self._changed.notify_all()

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
            return [order.payload for order in (*self._orders, *self._held.values())]

    def _tend(self, slot: int) -> None:
        """One worker: started for an order, kept while orders come, ended when idle or when another
        route needs its GPU.

        The slot is free again only when its worker is gone: they share a folder.
        """
        while not self._left(slot):
            card = self._places.enter(self._key(slot), self._wanted)
            if card is None:
                continue
            try:
                started = self._serve(slot, card)
            finally:
                self._places.leave(self._key(slot))
            if not started:
                self._pause()

    def _key(self, slot: int) -> Key:
        return self._route.name, slot

    def _wanted(self) -> bool:
        return bool(self._orders) and not self._closed

    def _serve(self, slot: int, card: ServingCard) -> bool:
        """Whether its workers started."""
        child: WorkerProcess | None = None
        while (order := self._next(slot, idle_s=self._route.idle_s)) is not None:
            if child is not None and not child.running:  # else the order would be lost in it
                self._complain("idle_worker_died", child)
                self._forget(slot)
                child = None
            if child is None:
                child = self._start(slot, card)
            if child is None:
                self._put_back(slot)
                return False
            if not child.execute(order.call_id, order.payload):
                self._complain("worker_died", child, job=order.payload.id)
                self._forget(slot)
                child = None
                self._lose(slot)
            else:
                self._answered(slot, child)
                if not child.fit:  # it ends by itself: the next order gets another
                    child.stop()
                    self._forget(slot)
                    child = None
            self._loras.tidy()  # Only jobs add files.
        if child is not None:
            child.stop()
            self._forget(slot)
        return True

    def _answered(self, slot: int, child: WorkerProcess) -> None:
        with self._changed:
            order = self._held.pop(slot)
        if child.ending in NOT_EXECUTED:
            self._lost(order.payload)

    def _lose(self, slot: int) -> None:
        """The order of a worker that died. Of an engine that closes it is among what is left."""
        with self._changed:
            order = None if self._closed else self._held.pop(slot)
        if order is not None and not order.lost:
            self._lost(order.payload)

    def _left(self, slot: int) -> bool:
        """Whether the slot was given up, because nothing is left to do."""
        with self._changed:
            if self._orders and not self._closed:
                return False
            del self._threads[slot]
            return True

    def _next(self, slot: int, idle_s: float) -> Order | None:
        """The next order, held from now on; None when this worker is no longer needed, or has to
        make room."""
        with self._changed:
            if not self._wanted():
                self._wait(slot, idle_s)
            if not self._wanted() or self._places.must_leave(self._key(slot)):
                return None
            now = time.monotonic()
            first = min(self._orders, key=lambda order: order.rank(now, self._aging_s))
            self._orders.remove(first)
            self._held[slot] = first
            self._changed.notify_all()  # whoever waited for a GPU may be no longer wanted
            return first

    def _wait(self, slot: int, idle_s: float) -> None:
        """With the lock held: for an order, or for what ends the worker."""
        key = self._key(slot)
        self._idle += 1
        self._places.set_idle(key, idle=True)
        self._changed.wait_for(
            lambda: self._orders or self._closed or self._places.must_leave(key), idle_s
        )
        self._places.set_idle(key, idle=False)
        self._idle -= 1

    def _start(self, slot: int, card: ServingCard) -> WorkerProcess | None:
        folder = self._folder / f"{self._route.name}-{slot}"
        try:
            child = WorkerProcess(self._route.name, folder, self._environ_of(card))
            child.start()
        except OSError as error:  # no memory for a process, no room for its log
            with self._changed:
                self._failures += 1
            log = structlog.get_logger(__name__)
            log.error("worker_not_spawned", route=self._route.name, error=str(error))
            return None
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

    def _complain(self, event: str, child: WorkerProcess, **more: object) -> None:
        log = structlog.get_logger(__name__)
        log.error(event, route=self._route.name, log=str(child.log), **more)

    def _environ_of(self, card: ServingCard) -> Mapping[str, str]:
        """What it sees of the machine's GPUs, and leaves to others of the one that it has."""
        environ = dict(self._environ)
        others = card.left_to_others(self._route.name, self._places.machine.workers)
        if others:
            environ[variable("gpu_reserve_gib")] = f"{self._reserve_gib + others / GIB:.3f}"
        if card.card.device:
            environ |= {VISIBLE: card.card.device, **BY_BUS}
        return environ

    def _put_back(self, slot: int) -> None:
        """The order was never seen by a worker, so it waits here for the next one. After FAILURES
        none may come: the jobs are handed back, and what is left of this one sees whether one
        starts."""
        with self._changed:
            order = self._held.pop(slot)
            lost: list[Order] = []
            if self._failures >= FAILURES and not self._closed:
                lost = [each for each in (order, *self._orders) if not each.lost]
                self._orders = [each for each in self._orders if each.lost]
                order = replace(order, lost=True)
            self._orders.append(order)
        for each in lost:
            self._lost(each.payload)

    def _pause(self) -> None:
        """After a start that failed, without a place on a GPU: others may have it meanwhile."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed, BACKOFF.pause_s(self._failures + 1))

    def _forget(self, slot: int) -> None:
        with self._changed:
            child = self._workers.pop(slot, None)
        if child is not None:
            child.kill()
