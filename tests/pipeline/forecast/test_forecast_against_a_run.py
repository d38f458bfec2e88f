"""A forecast beside the run that it was made of: the real dispatcher in real time, and workers
whose jobs take known times."""

import json
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from threading import Thread

import pytest

from config.settings import Settings
from events.sender import Sender
from events.sink import MemorySink
from pipeline.contract.keys import inbox_key, result_key
from pipeline.contract.manifest import parse_manifest
from pipeline.contract.result import Result
from pipeline.dispatcher.dispatcher import Dispatcher
from pipeline.dispatcher.loop import Wakeup, dispatch
from pipeline.forecast.deployment import Deployment
from pipeline.forecast.expected_job import sent_job
from pipeline.forecast.forecast import forecast
from pipeline.forecast.history import history_of
from pipeline.notify.delivery import ResultDelivery
from pipeline.runtime import RuntimeConfig, load_runtime
from pipeline.store.conditional import SafeStore
from pipeline.store.memory import MemoryStore
from pipeline.worker.context import WorkerContext
from tests.support.instant_comfyui import worker_context
from tests.support.timed_engine import TimedEngine, TimedServer

WORKERS, IDLE_S, START_S = 4, 2, 1.0
JOBS, TENANTS, WORK_S = 600, 3, 0.22
"""Mean seconds of a job, so that 600 of them take four workers half a minute."""
WITHIN = 0.1

Sent = tuple[str, bytes]


def load(number: int, prefix: str) -> list[Sent]:
    """Keys and manifests of three tenants, two kinds, some priorities, one to three pictures."""
    sent = []
    for n in range(number):
        kind = "flux-dev" if n % 4 else "flux-schnell"
        steps = 10 + n * 7 % 20 if n % 4 else 4
        asked = {"prompt": "a cat", "width": 256, "height": 256, "steps": steps}
        document = {
            "version": 1,
            "model": kind,
            "tenant": f"tenant-{n % TENANTS}",
            "priority": 4 + n % 3,
            "input": {**asked, "num_images": 1 + n % 3},
        }
        id = f"{prefix}-{n:04}"
        key = inbox_key(id, priority=4 + n % 3, tenant=f"tenant-{n % TENANTS}", model=kind)
        sent.append((key, json.dumps(document).encode()))
    return sent


class Run:
    """A load, served to its end."""

    def __init__(self, runtime: RuntimeConfig, scale: float, sent: Sequence[Sent]) -> None:
        store = SafeStore(MemoryStore(lambda: datetime.now(UTC)))
        sender = Sender(MemorySink())
        delivery = ResultDelivery(store, sender, runtime.settings)

        def context(server: TimedServer) -> WorkerContext:
            return worker_context(store, delivery, runtime, server, gpu="L40S")

        engine = TimedEngine(context, runtime, WORKERS, START_S, IDLE_S, scale)
        for key, body in sent:
            store.create(key, body)
        with ThreadPoolExecutor(8) as pool:
            dispatcher = Dispatcher(store, engine, sender, runtime, pool, "dispatcher")
            wakeup = Wakeup()
            loop = Thread(target=dispatch, args=(dispatcher, wakeup))
            began = time.monotonic()
            loop.start()
            try:
                while len(engine.done_at) < len(sent) and time.monotonic() - began < 120:
                    time.sleep(0.05)
                engine.wait_ended(30)
            finally:
                wakeup.stop()
                loop.join()
        sender.close(5)
        self.finished_s = max(engine.done_at) - began
        self.held_s, self.starts = engine.held_s, engine.starts
        ids = [key.split(".")[-2] for key, _ in sent]
        stored = [store.get(result_key(id)) for id in ids]
        found = [Result.parse(each.body) for each in stored if each is not None]
        self.results = [each for each in found if each is not None]


@pytest.mark.thorough
def test_a_plan_is_within_a_tenth_of_the_run(tmp_path: Path) -> None:
    routes = tmp_path / "routes.toml"
    routes.write_text(f"[routes.Flux]\nidle_s = {IDLE_S}\n")
    settings = Settings(
        state_dir=tmp_path,
        routes_file=routes,
        gpu="L40S",
        local_workers=WORKERS,
        poll_active_seconds=0.1,
    )
    runtime = load_runtime(settings, "local")
    now, sent = datetime.now(UTC), load(JOBS, "job")
    jobs = [sent_job(key, body, parse_manifest(body), runtime, now, 0.0) for key, body in sent]
    estimated = forecast("estimates", jobs, Deployment.of(runtime), runtime, history_of([]), now)
    scale = WORK_S * JOBS / estimated.figure("working_s").expected

    past = history_of(Run(runtime, scale, load(80, "past")).results, standin=True)
    plan = forecast("plan", jobs, Deployment.of(runtime), runtime, past, now)
    run = Run(runtime, scale, sent)

    assert len(run.results) == JOBS == plan.jobs
    assert sum(len(each.outputs) for each in run.results) == plan.pictures
    assert run.starts == plan.figure("cold_starts").expected
    rate = plan.routes[0].machine.usd_per_second
    busy_s = sum(each.metrics.gpu_seconds for each in run.results if each.metrics)
    paid_usd = sum(each.cost.total_usd for each in run.results if each.cost)
    expected_busy_s = plan.figure("working_s").expected + plan.figure("cold_s").expected
    figures = {
        "finished_s": (plan.finished.expected, run.finished_s),
        "GPU seconds of jobs": (expected_busy_s, busy_s),
        "dollars of jobs": (expected_busy_s * rate, paid_usd),
        "GPU seconds": (plan.figure("gpu_seconds").expected, run.held_s),
        "dollars": (plan.usd.expected, run.held_s * rate),
    }
    wrong = {name: each for name, each in figures.items() if abs(each[0] / each[1] - 1) > WITHIN}
    assert wrong == {}, figures
