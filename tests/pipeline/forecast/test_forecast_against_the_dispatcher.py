"""Where a plan has jobs run, beside where the real dispatcher spawns them, in time that stands
still between two ticks."""

import random
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.dispatcher.dispatcher import Dispatcher
from pipeline.forecast.expected_job import ExpectedJob
from pipeline.forecast.simulation import CrewSize, simulate
from pipeline.queue.spawn import SpawnPayload
from tests.pipeline.dispatcher.test_tick_platforms import TwoPlatforms, start_if_wanted, work
from tests.support.forecasts import job
from tests.support.pipeline_fixture import NOON, PipelineFixture

BEAT_S = 5
ROUTES = """
[routes.Flux]
platforms = ["modal", "runpod"]
overflow_after_s = 60
down_after_s = 200
max_in_flight = 6
"""


class Run:
    """Jobs of the real dispatcher, by workers of which each platform has some."""

    def __init__(
        self, pipeline: PipelineFixture, took_s: Mapping[str, float], workers: int
    ) -> None:
        self.pipeline, self.took_s, self.workers = pipeline, took_s, workers
        self.engine = TwoPlatforms()
        self.where: dict[str, str] = {}
        self.finished_s: dict[str, float] = {"modal": 0, "runpod": 0}
        self._busy: dict[str, list[tuple[float, SpawnPayload]]] = {"modal": [], "runpod": []}

    def serve(self, comes_s: Mapping[str, float]) -> None:
        # Side by side, equals would be spawned in any order.
        with ThreadPoolExecutor(1) as pool:
            platforms = frozenset(self._busy)
            made = self.pipeline.another("one", self.engine)
            self._serve(replace(made, pool=pool, platforms=platforms), comes_s)

    def _serve(self, one: Dispatcher, comes_s: Mapping[str, float]) -> None:
        coming = sorted(comes_s, key=lambda id: comes_s[id])
        clock, beat = 0.0, 0
        while len(self.where) < len(comes_s) or any(self._busy.values()):
            if clock == beat:
                while coming and comes_s[coming[0]] <= clock:
                    self.pipeline.submit(coming.pop(0))
                self.pipeline.tick(one)
                beat += BEAT_S
            self._work(clock)
            following = min([beat, *(ends for busy in self._busy.values() for ends, _ in busy)])
            self.pipeline.pass_time(following - clock)
            clock = following

    def _work(self, clock: float) -> None:
        for name, busy in self._busy.items():
            for ends, payload in [each for each in busy if each[0] <= clock]:
                busy.remove((ends, payload))
                assert work(self.pipeline, payload) == "committed"
                self.finished_s[name] = ends
            given = self.engine.given[name]
            while given and len(busy) < self.workers:
                payload = given.pop(0)
                if start_if_wanted(self.pipeline, payload):
                    self.where[payload.id] = name
                    busy.append((clock + self.took_s[payload.id], payload))


@pytest.mark.parametrize(("seed", "workers"), [(1, 1), (2, 1), (3, 2)])
def test_a_plan_sends_each_job_where_the_dispatcher_sends_it(
    tmp_path: Path, seed: int, workers: int
) -> None:
    draw = random.Random(seed)
    ids = [f"job-{number:02}" for number in range(12)]
    comes_s = {id: 0 if id < "job-04" else BEAT_S * draw.randint(1, 120) - 2 for id in ids}
    # None ends at a beat, where whoever is asked first would decide what the other sees.
    took_s = {id: BEAT_S * draw.randint(2, 40) + 2 + n / 100 for n, id in enumerate(ids)}
    pipeline = PipelineFixture(
        routes=ROUTES,
        tmp_path=tmp_path,
        poll_active_seconds=BEAT_S,
        job_timeout_seconds=1000,
        running_seconds=1000,
    )
    try:
        run = Run(pipeline, took_s, workers)
        run.serve(comes_s)
    finally:
        pipeline.close()
    planned: dict[str, str] = {}

    def seconds(each: ExpectedJob, platform: str) -> float:
        planned[each.id] = platform
        return took_s[each.id]

    jobs = [job(id, pipeline.runtime, comes_s=at, bare=True) for id, at in comes_s.items()]
    size = CrewSize(workers, 60, 0)
    crews = {("Flux", name): size for name in ("modal", "runpod")}
    tallies = simulate(jobs, pipeline.runtime, crews, seconds, NOON)

    assert planned == run.where
    assert len(planned) == len(comes_s)
    for (_, name), tally in tallies.items():
        assert tally.finished_s == pytest.approx(run.finished_s[name])
    assert sum(tally.overflowed for tally in tallies.values()) == len(run.engine.cancelled) > 0
