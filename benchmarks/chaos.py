"""Dispatchers, workers and a store, all of them real processes, that are killed, stopped and
restarted while jobs are sent, sent twice, contradicted and cancelled and PostHog comes and goes.

It ends when nothing waits and nobody holds a job. Then the bucket is audited (`ryla audit
--content`), and what was sent is held against what came out. Exit code 1 unless each id has one
result, nothing is stuck or unfiled, the audit is clean and every event of a result has arrived.
"""

import argparse
import heapq
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from itertools import count
from pathlib import Path
from random import Random
from threading import Thread
from typing import Any

from benchmarks.chaos_outcome import Outcome, Sent, outcome_of, show
from benchmarks.chaos_plan import Blow, Mischief, Plan, make_plan
from benchmarks.chaos_processes import (
    BUCKET,
    COMFYUI,
    MAIN,
    WORKER,
    DispatcherProcess,
    PostHog,
    Store,
    command_line,
    descendants,
    plain_environ,
    ports,
    settings_for,
)
from config.errors import AlreadyFinished, RylaError, UnknownJob
from config.logs import configure_logs
from config.settings import Settings
from pipeline.contract.keys import INBOX, LEASES
from pipeline.jobs.cancel import Canceller
from pipeline.notify.sinks import make_sink
from pipeline.runtime import load_runtime
from pipeline.store.conditional import Won
from pipeline.store.open import open_store

DISPATCHERS = 3
LOOK_SECONDS = 0.1
QUIET_SECONDS = 120.0
"""Longest wait, after the last blow, until all has come to rest."""
END_SECONDS = 40.0


class Run:
    """One run: the processes, and what was done to them."""

    def __init__(self, plan: Plan, store: Store, posthog: PostHog, settings: Settings) -> None:
        self.plan = plan
        self.sent = Sent()
        self.blows: Counter[str] = Counter()
        self.ended_by_themselves: Counter[str] = Counter()
        self._store_process = store
        self._posthog = posthog
        self._settings = settings
        self._store = open_store(settings)
        self._dispatchers = [DispatcherProcess(n, settings) for n in range(DISPATCHERS)]
        self._ending: list[subprocess.Popen[bytes]] = []
        self._later: list[tuple[float, int, Callable[[], None]]] = []
        self._order = count()
        self._began = 0.0

    def __call__(self) -> Outcome:
        try:
            for each in self._dispatchers:
                each.start()
            self._began = time.monotonic()
            threads = [Thread(target=self._produce), Thread(target=self._cancel)]
            for thread in threads:
                thread.start()
            self._strike_all()
            last = self._now()
            for thread in threads:
                while thread.is_alive():
                    self._look_after()
            self._await_quiet()
            seconds, quiet_after_s = self._now(), self._now() - last
            self._end()
            return self._outcome(seconds=seconds, quiet_after_s=quiet_after_s)
        finally:
            for each in self._dispatchers:
                each.sweep()

    def _now(self) -> float:
        return time.monotonic() - self._began

    # ── what is sent ──────────────────────────────────────────────────────────────────────────────

    def _produce(self) -> None:
        for each in self.plan.sendings:
            time.sleep(max(0.0, each.at_s - self._now()))
            outcome = self._insist(partial(self._store.create, each.key, each.body))
            if isinstance(outcome, Won):
                self.sent.stored[each.form].append(each.id or each.key)

    def _cancel(self) -> None:
        runtime = load_runtime(self._settings, "local")
        canceller = Canceller(self._store, runtime, make_sink(self._settings), "chaos")
        for each in self.plan.cancels:
            time.sleep(max(0.0, each.at_s - self._now()))
            try:
                self._insist(partial(canceller.cancel, each.id))
                answer = "cancelled"
            except (AlreadyFinished, UnknownJob) as error:
                answer = error.code
            self.sent.cancels.setdefault(answer, []).append(each.id)

    def _insist(self, call: Callable[[], Any]) -> Any:
        """As a producer does whose store is away."""
        while True:
            try:
                return call()
            except (AlreadyFinished, UnknownJob):
                raise
            except RylaError:
                time.sleep(0.2)

    # ── what goes wrong ───────────────────────────────────────────────────────────────────────────

    def _strike_all(self) -> None:
        for blow in self.plan.blows:
            self._at(blow.at_s, partial(self._strike, blow))
        while self._later:
            self._look_after()
        self._posthog.recover()

    def _at(self, when: float, what: Callable[[], None]) -> None:
        heapq.heappush(self._later, (when, next(self._order), what))

    def _look_after(self) -> None:
        """Do what is due, and start what has ended by itself again."""
        while self._later and self._later[0][0] <= self._now():
            heapq.heappop(self._later)[2]()
        for each in self._dispatchers:
            line = each.ended_by_itself()
            if line is not None:
                self.ended_by_themselves[line] += 1
                each.start()
        time.sleep(LOOK_SECONDS)

    def _strike(self, blow: Blow) -> None:
        undo = self._struck(blow)
        if undo is not None:
            self.blows[blow.mischief] += 1
            self._at(self._now() + blow.lasts_s, undo)

    def _struck(self, blow: Blow) -> Callable[[], None] | None:
        """What undoes it; None if there was nothing to strike."""
        match blow.mischief:
            case Mischief.STORE_KILLED | Mischief.STORE_STOPPED:
                return self._strike_store(blow.mischief)
            case Mischief.ALL_KILLED:
                return self._strike_everything()
            case Mischief.POSTHOG_HANGS:
                self._posthog.hang()
                return self._posthog.recover
            case Mischief.POSTHOG_FAILS:
                self._posthog.fail()
                return self._posthog.recover
            case Mischief.POSTHOG_REFUSES:
                self._posthog.stop()
                return self._posthog.recover
            case Mischief.WORKER_KILLED | Mischief.WORKER_STOPPED:
                return self._strike_process(blow, WORKER)
            case Mischief.COMFYUI_KILLED:
                return self._strike_process(blow, COMFYUI)
        return self._strike_dispatcher(blow)

    def _strike_store(self, mischief: Mischief) -> Callable[[], None] | None:
        store = self._store_process
        if not store.running:
            return None
        if mischief is Mischief.STORE_KILLED:
            store.kill()
            return store.revive
        pid = store.pid
        if pid is None:
            return None
        os.kill(pid, signal.SIGSTOP)
        return lambda: os.kill(pid, signal.SIGCONT) if store.running and store.pid == pid else None

    def _strike_everything(self) -> Callable[[], None] | None:
        undo = self._strike_store(Mischief.STORE_KILLED)
        if undo is None:
            return None
        for each in self._dispatchers:
            each.sweep()

        def start() -> None:
            undo()
            for each in self._dispatchers:
                each.start_if_down()

        return start

    def _strike_dispatcher(self, blow: Blow) -> Callable[[], None] | None:
        up = [each for each in self._dispatchers if each.pid is not None]
        if not up:
            return None
        chosen = up[int(blow.pick * len(up))]
        if blow.mischief is Mischief.DISPATCHER_STOPPED:
            return chosen.stop()
        if blow.mischief is Mischief.DISPATCHER_KILLED:
            chosen.kill()
            return chosen.start_if_down
        self._ending.append(chosen.terminate())
        chosen.start()
        return lambda: None

    def _strike_process(self, blow: Blow, word: str) -> Callable[[], None] | None:
        above = [each.pid for each in self._dispatchers if each.pid is not None]
        there = [pid for each in above for pid in descendants(each, word)]
        if not there:
            return None
        pid = there[int(blow.pick * len(there))]
        stops = blow.mischief is Mischief.WORKER_STOPPED
        os.kill(pid, signal.SIGSTOP if stops else signal.SIGKILL)
        return lambda: os.kill(pid, signal.SIGCONT) if word in command_line(pid) else None

    # ── the end ───────────────────────────────────────────────────────────────────────────────────

    def _await_quiet(self) -> None:
        until = time.monotonic() + QUIET_SECONDS
        while time.monotonic() < until:
            pages = [self._store.list(prefix, limit=1) for prefix in (INBOX, LEASES)]
            if not any(page.entries for page in pages):
                return
            for _ in range(5):
                self._look_after()

    def _end(self) -> None:
        self._ending += [each.terminate() for each in self._dispatchers if each.pid is not None]
        until = time.monotonic() + END_SECONDS
        for process in self._ending:
            try:
                process.wait(max(0.1, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                self.ended_by_themselves["did not end at SIGTERM"] += 1

    def _outcome(self, **run: float) -> Outcome:
        return outcome_of(
            self.plan,
            self.sent,
            self._store,
            self._posthog.deliveries(),
            self._posthog.names(),
            self._audit(),
            blows=self.blows,
            ended_by_themselves=self.ended_by_themselves,
            **run,
        )

    def _audit(self) -> dict[str, Any]:
        done = subprocess.run(
            [sys.executable, "-c", MAIN, "audit", "--content", "--json"],
            env={**plain_environ(), **self._settings.environ()},
            stdout=subprocess.PIPE,
            check=False,
        )
        document: dict[str, Any] = json.loads(done.stdout)
        assert document["clean"] == (done.returncode == 0)
        return document


def run(jobs: int, seed: int, seconds: float) -> Outcome:
    plan = make_plan(jobs, seed, seconds)
    with tempfile.TemporaryDirectory(prefix="ryla-chaos-") as name, PostHog() as posthog:
        folder = Path(name)
        store = Store(folder / "store", ports(Random()))
        store.start()
        try:
            store.create_bucket(BUCKET)
            settings = settings_for(store, posthog, folder)
            configure_logs(settings.model_copy(update={"log_level": "error"}))
            return Run(plan, store, posthog, settings)()
        finally:
            store.kill()


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, help="of blows; without it a job each 0.5 s")
    parser.add_argument("--json", action="store_true", help="a document in place of the table")
    options = parser.parse_args(arguments)
    seconds = 60 * options.minutes if options.minutes else 0.5 * options.jobs
    outcome = run(options.jobs, options.seed, seconds)
    if options.json:
        print(json.dumps(outcome.document(), indent=1))
    else:
        show(outcome)
    return 1 if outcome.broken else 0


if __name__ == "__main__":
    sys.exit(main())
