"""A budget is passed by no more than what ran at a time and one tick's claims of a dispatcher, and
by nothing where nothing costs more than was estimated.

Two dispatchers tick over one bucket, each at times in the middle of the other's tick. Processes
die and replies are lost at random calls, and executions take less or more than was estimated.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from random import Random

import pytest

from config.budgets import BudgetTable
from pipeline.contract.lease import Lease, Phase
from pipeline.contract.result import Result
from pipeline.contract.spend_entry import SpendEntry
from pipeline.costs import usd_per_second
from pipeline.dispatcher.dispatcher import Dispatcher
from pipeline.queue.budgets import Ledger
from pipeline.queue.spawn import SpawnPayload
from tests.support.faulty_store import Died, Fault
from tests.support.manifests import body
from tests.support.simulation import NOON, RUNTIME, Simulation

JOBS, SLOTS, ROUNDS, USD = 60, 12, 60, 0.02
GPU = RUNTIME.routes.route("Flux").gpus[0]
RATE = usd_per_second(RUNTIME.gpus.gpu(GPU), RUNTIME.routes.route("Flux"), RUNTIME.gpus)
TOTAL = BudgetTable.model_validate({"budgets": {"total": {"usd": USD}}})
FAULTS = (Fault.DIES_BEFORE, Fault.DIES_AFTER, Fault.REPLY_LOST, Fault.NOT_APPLIED)


class Busy(Simulation):
    """Dispatchers whose ticks overlap, and whose calls go wrong now and then."""

    def __init__(
        self,
        random: Random,
        keyed: bool,
        budgets: BudgetTable = TOTAL,
        tenants: Sequence[str] = ("acme",),
    ) -> None:
        routes = RUNTIME.routes.routes
        narrow = routes["Flux"].model_copy(update={"max_in_flight": SLOTS})
        runtime = replace(
            RUNTIME,
            budgets=budgets,
            routes=RUNTIME.routes.model_copy(update={"routes": {**routes, "Flux": narrow}}),
        )
        self.random = random
        self.over = 0.0
        """What executions cost beyond the estimate of their job, US dollars: see note."""
        self.estimate = 0.0
        self.unseen = 0
        """Jobs that one dispatcher claimed in the middle of a tick of the other, at most."""
        self._ticking = self._inside = False
        self._unseen = 0
        self._spent: dict[str, float] = {}
        self._pools: list[ThreadPoolExecutor] = []
        super().__init__(before=_work, runtime=runtime, gpu=GPU)
        for number in range(JOBS):
            tenant = tenants[number % len(tenants)]
            batch = {"batch": "autumn"} if number % 2 == 0 else {}
            name = f"4.{tenant}.flux-dev.j{number:02}" if keyed else f"j{number:02}"
            manifest = body(tenant=tenant, input={"steps": 20}, **batch)
            self.submit(f"inbox/{name}.json", manifest)

    def dispatcher(self) -> Dispatcher:
        self._pools.append(ThreadPoolExecutor(1))
        return replace(super().dispatcher(), pool=self._pools[-1])

    def close(self) -> None:
        super().close()
        for pool in self._pools:
            pool.shutdown()

    def work(self, payload: SpawnPayload) -> None:
        """An execution of half to twice the time that was estimated; some workers die in it."""
        assert payload.lease is not None
        usd = payload.lease.estimate_usd
        assert usd is not None
        self.estimate = usd
        self.pass_time(usd / RATE * self.random.uniform(0.5, 2.0))
        if self.random.random() < 0.03:
            raise Died

    def _fault_now(self, number: int) -> Fault | None:
        if self._ticking and not self._inside and self.random.random() < 0.02:
            self._inside, before = True, self.engine.spawned
            super().tick(1)
            self._inside = False
            self._unseen += self.engine.spawned - before
        if self.random.random() < 0.003:
            return self.random.choice(FAULTS)
        return None

    def tick(self, number: int = 0) -> None:
        self._ticking, self._unseen = number == 0, 0
        super().tick(number)
        self._ticking = False
        self.unseen = max(self.unseen, self._unseen)

    @property
    def spent(self) -> float:
        return sum(self._spent.values())

    def note(self) -> None:
        """What each job has cost so far; and what executions cost beyond their estimates since all
        that was out was within the budget."""
        now: dict[str, float] = {}
        out = 0
        for held in self.bucket.bodies("leases/"):
            lease = Lease.parse(held)
            assert lease is not None
            now[lease.id] = lease.spent.usd
            out += lease.phase is not Phase.RETRY
        for entry in self.bucket.list("jobs/").entries:
            stored = self.bucket.get(entry.key) if entry.key.endswith("result.json") else None
            result = None if stored is None else Result.parse(stored.body)
            if result is not None and result.cost is not None:
                now[result.id] = result.cost.total_usd
        for id, usd in now.items():
            more = usd - self._spent.get(id, 0.0)
            self.over += max(0.0, more - self.estimate)
            self._spent[id] = usd
        if self.spent + out * self.estimate <= USD:
            self.over = 0.0  # what runs now is within the budget yet


def _work(simulation: Simulation, payload: SpawnPayload) -> None:
    assert isinstance(simulation, Busy)
    simulation.work(payload)


@pytest.mark.parametrize("keyed", [True, False])
@pytest.mark.parametrize("seed", [0, 2, 7])
def test_no_more_is_spent_than_the_budget_and_what_ran(
    seed: int, keyed: bool, record_property: Callable[[str, object], None]
) -> None:
    simulation = Busy(Random(seed), keyed)
    for _ in range(ROUNDS):
        simulation.tick(0)
        simulation.tick(1)
        simulation.note()
        for payload in simulation.engine.take():
            if simulation.random.random() < 0.7:
                simulation.engine.payloads.append(payload)  # it waits for a worker
                continue
            simulation.execute(payload)
            simulation.note()
        simulation.pass_time(7)
        bound = USD + simulation.over + simulation.unseen * simulation.estimate
        assert simulation.spent <= bound + 1e-9
    record_property("spent", simulation.spent)
    assert simulation.spent > USD / 2
    assert simulation.bucket.list("inbox/").entries
    simulation.close()


class Careful(Busy):
    """Nothing goes wrong, and no execution costs more than was estimated."""

    def _fault_now(self, number: int) -> None:
        return None

    def work(self, payload: SpawnPayload) -> None:
        assert payload.lease is not None
        assert payload.lease.estimate_usd is not None
        self.pass_time(payload.lease.estimate_usd / RATE * self.random.uniform(0.5, 1.0))


OVERLAPPING = BudgetTable.model_validate(
    {
        "budgets": {
            "total": {"usd": 0.03},
            "each": {"tenant": "*", "usd": 0.012},
            "acme": {"tenant": "acme", "usd": 0.008},
            "here": {"platform": "local", "usd": 0.025},
            "autumn": {"tenant": "acme", "batch": "autumn", "since": NOON.date(), "usd": 0.005},
        }
    }
)


@pytest.mark.parametrize("keyed", [True, False])
def test_budgets_that_overlap_are_each_kept_on_both_sides_of_midnight(keyed: bool) -> None:
    simulation = Careful(Random(1), keyed, OVERLAPPING, ("acme", "beta", "acme"))
    simulation.now = simulation.now.replace(hour=23, minute=56)
    most: defaultdict[str, float] = defaultdict(float)
    for _ in range(ROUNDS):
        simulation.tick(0)
        simulation.tick(1)
        for payload in simulation.engine.take():
            if simulation.random.random() < 0.7:
                simulation.engine.payloads.append(payload)
            else:
                simulation.execute(payload)
        simulation.pass_time(7)
        today = simulation.now.date()
        ledger = Ledger(simulation.runtime.budgets, today, "local")
        keys = [entry.key for entry in simulation.bucket.list("spend/").entries]
        ended = [entry for key in keys if (entry := SpendEntry.parse(key)) is not None]
        ledger.add_ended(ended)
        for account in ledger.accounts():
            share = ledger.spent[account] / ledger.limit(account)
            most[str(account)] = max(most[str(account)], share)
    simulation.close()
    assert len({entry.day for entry in ended}) == 2
    assert max(most.values()) <= 1.0
    assert min(most.values()) > 0.5
