"""A job is forgotten at each call of those who run it, and each of them acts at each call of the
erasure. The dispatchers, the executions and the bucket that checks every write are those of the
queue's own crash matrix."""

from collections.abc import Callable
from contextlib import suppress
from functools import partial

import pytest

from config.errors import AlreadyFinished, UnknownJob
from pipeline.contract.keys import JOBS
from pipeline.contract.result import Result, Status
from pipeline.erasure.eraser import Eraser
from pipeline.erasure.scope import Wish
from pipeline.jobs.audit.bucket_audit import Audit
from pipeline.jobs.audit.faults import FaultKind
from pipeline.jobs.cancel import Canceller
from pipeline.queue.expiry import Lifetimes
from pipeline.queue.spawn import SpawnPayload
from pipeline.store.conditional import SafeStore
from tests.support.erasures import tombstones
from tests.support.faulty_store import Fault, FaultyStore
from tests.support.manifests import body
from tests.support.simulation import RUNTIME, SETTINGS, Simulation

KEY = "inbox/4.acme.flux-dev.job.json"
BODY = body(tenant="acme")
JOB = Wish(job="job")
THOROUGH = pytest.mark.thorough


class Forgetting(Simulation):
    """`at` is the number of the others' call before which the job is forgotten."""

    def __init__(
        self, at: int = -1, before: Callable[[Simulation, SpawnPayload], None] | None = None
    ) -> None:
        super().__init__(before=before)
        self.forget_at = at
        self.forgotten = False
        self.submit(KEY, BODY)

    def _fault_now(self, number: int) -> Fault | None:
        if self.calls == self.forget_at:
            self.calls += 1
            self.forget()
        else:
            self.calls += 1
        return None

    def forget(self, at_call: Callable[[int], None] = lambda _: None) -> int:
        """How many calls it took. `at_call` is called before each."""

        def seen(number: int) -> Fault | None:
            at_call(number)
            return None

        faulty = FaultyStore(self.bucket, seen)
        store = SafeStore(faulty, conditional_delete=True, monotonic=lambda: 0.0)
        canceller = Canceller(store, RUNTIME, self.sink, "forget")
        Eraser(store, SETTINGS, canceller, self.pass_time).erase(JOB)
        self.forgotten = True
        return len(faulty.calls)

    def keys(self) -> list[str]:
        """Of all that is of the queue."""
        prefixes = (JOBS, "inbox/", "leases/", "outbox/", "rejected/")
        return [entry.key for each in prefixes for entry in self.bucket.list(each).entries]

    def result(self) -> Result:
        stored = self.bucket.get("jobs/job/result.json")
        assert stored is not None
        result = Result.parse(stored.body)
        assert result is not None
        return result

    def faults(self) -> list[tuple[FaultKind, str]]:
        store = SafeStore(self.bucket, monotonic=self._seconds)
        audit = Audit(store, Lifetimes.of(SETTINGS), readers=1)
        audit.run()
        return [(fault.kind, fault.key) for fault in audit.tally.named]


def lapse(simulation: Simulation, payload: SpawnPayload) -> None:
    """In the middle of the first execution the lease lapses, and another one runs to its end."""
    simulation._before = None
    simulation.pass_time(40)
    simulation.tick(1)
    for again in simulation.engine.take():
        simulation.execute(again)


@pytest.mark.parametrize(
    "before",
    [pytest.param(None, id="runs"), pytest.param(lapse, id="is taken over", marks=THOROUGH)],
)
def test_it_is_forgotten_at_any_call_of_those_who_run_it(
    before: Callable[[Simulation, SpawnPayload], None] | None,
) -> None:
    """Whoever stands still meanwhile, for longer than two lives, may leave a file behind. The audit
    names it then, and forgetting once more ends in two tombstones."""
    alone = Forgetting(before=before)
    alone.run_until_quiet()
    calls = alone.calls
    alone.close()
    left = 0
    for at in range(calls):
        simulation = Forgetting(at, before)
        simulation.run_until_quiet()
        assert simulation.forgotten
        assert simulation.result().status is Status.FORGOTTEN, at
        keys = simulation.keys()
        late = sorted({*keys} - {*tombstones("job")})
        assert simulation.faults() == [(FaultKind.ERASURE_LEFT, key) for key in late], at
        assert all(key.startswith("jobs/job/out/") for key in late), at
        left += bool(late)
        simulation.forget()
        assert simulation.keys() == tombstones("job"), at
        simulation.close()
    assert 0 < left < calls


def tick(simulation: Forgetting) -> None:
    simulation.tick()


def run(simulation: Forgetting) -> None:
    for payload in simulation.engine.take():
        simulation.execute(payload)


def take_over(simulation: Forgetting) -> None:
    simulation.pass_time(100)
    simulation.tick(1)
    run(simulation)


def cancel(simulation: Forgetting) -> None:
    store = SafeStore(simulation.bucket, monotonic=simulation._seconds)
    with suppress(AlreadyFinished, UnknownJob):
        Canceller(store, RUNTIME, simulation.sink, "another").cancel("job")


def send_again(simulation: Forgetting) -> None:
    simulation.submit(KEY, BODY)
    simulation.tick()


def forget_too(simulation: Forgetting) -> None:
    simulation.forget()


def waits(simulation: Forgetting) -> None:
    """It has just been sent."""


def is_spawned(simulation: Forgetting) -> None:
    simulation.tick()


def has_ended(simulation: Forgetting) -> None:
    simulation.tick()
    run(simulation)


STATES = (waits, is_spawned, has_ended)
ACTS = (tick, run, take_over, cancel, send_again, forget_too)


@pytest.mark.parametrize("act", [take_over, send_again], ids=lambda act: act.__name__)
def test_others_act_at_any_call_of_an_erasure(act: Callable[[Forgetting], None]) -> None:
    check_acting(is_spawned, act)


@pytest.mark.thorough
@pytest.mark.parametrize("act", ACTS, ids=lambda act: act.__name__)
@pytest.mark.parametrize("state", STATES, ids=lambda state: state.__name__)
def test_anybody_acts_at_any_call_of_an_erasure(
    state: Callable[[Forgetting], None], act: Callable[[Forgetting], None]
) -> None:
    check_acting(state, act)


def check_acting(state: Callable[[Forgetting], None], act: Callable[[Forgetting], None]) -> None:
    alone = Forgetting()
    state(alone)
    calls = alone.forget()
    alone.close()
    for at in range(calls):
        simulation = Forgetting()
        state(simulation)

        def acting(number: int, at: int, simulation: Forgetting) -> None:
            if number == at:
                act(simulation)

        simulation.forget(partial(acting, at=at, simulation=simulation))
        simulation.run_until_quiet()
        assert simulation.result().status is Status.FORGOTTEN, at
        assert simulation.result().erasure.ended_at is not None, at  # type: ignore[union-attr]
        keys = simulation.keys()
        filed = {key for key in keys if key.startswith("rejected/")}
        assert {*keys} - filed == {*tombstones("job")}, at
        assert act is send_again or not filed
        assert simulation.faults() == [], at
        simulation.close()
