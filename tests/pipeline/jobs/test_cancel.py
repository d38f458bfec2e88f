from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta

import pytest

from config.errors import AlreadyFinished, ManifestTooLarge, UnknownJob
from events.outbox import StoredEvent
from events.sink import EventSink, MemorySink, NotDelivered
from pipeline.contract.keys import MAX_BYTES
from pipeline.contract.lease import Phase
from pipeline.contract.result import Status
from pipeline.jobs.cancel import Canceller
from pipeline.store.base import Always
from tests.support.instant import InstantEngine
from tests.support.manifests import body
from tests.support.yard import NOON, Yard

REQUESTED, CANCELLED = (f"modal_flux_dev_generation_{it}" for it in ("requested", "cancelled"))


class Unreachable:
    def deliver(self, events: Sequence[StoredEvent]) -> Sequence[StoredEvent]:
        raise NotDelivered("down")


@pytest.fixture
def yard() -> Iterator[Yard]:
    yard = Yard(holding=True)
    yield yard
    yard.close()


def canceller(yard: Yard, sink: EventSink | None = None) -> Canceller:
    return Canceller(yard.store, yard.runtime, sink or yard.sink, "cli")


@pytest.mark.parametrize("key", ["inbox/one.json", "inbox/4.acme.flux-dev.one.json"])
def test_a_waiting_job_gets_its_result_and_never_runs(yard: Yard, key: str) -> None:
    yard.submit("one", body(tenant="acme", metadata={"order": 7}), key=key)
    done = canceller(yard).cancel("one")

    assert done.delivered
    assert done.result == yard.result("one")
    assert done.result.status is Status.CANCELLED
    assert (done.result.model, done.result.tenant) == ("flux-dev", "acme")
    assert (done.result.attempt, done.result.submitted_at) == (0, NOON)
    assert yard.event_names() == [REQUESTED, CANCELLED]

    yard.tick()

    assert not yard.held.payloads
    assert not yard.keys("inbox/")
    assert not yard.keys("leases/")
    assert yard.event_names() == [REQUESTED, CANCELLED]
    assert yard.result("one") == done.result


def test_a_spawned_job_is_cancelled_and_its_worker_finds_the_lease_gone(yard: Yard) -> None:
    yard.submit("one")
    yard.tick()
    done = canceller(yard).cancel("one")
    assert done.result.attempt == 1
    assert not yard.keys("leases/")

    [payload] = yard.held.payloads
    InstantEngine(yard.context).submit("Flux", payload)
    yard.deliver()

    assert yard.result("one").status is Status.CANCELLED
    assert not yard.keys("jobs/one/out/")


def test_what_the_running_attempt_cost_so_far_is_counted(yard: Yard) -> None:
    yard.submit("one")
    yard.tick()
    running = yard.lease("one").started(
        nonce="n",
        owner="w",
        attempt=2,
        call_id=None,
        ttl_s=60,
        rate_usd_per_s=0.5,
        now=yard.now - timedelta(seconds=10),
    )
    yard.raw.put("leases/one.json", running.body(), Always())
    cost = canceller(yard).cancel("one").result.cost

    assert cost is not None
    assert (cost.usd, cost.total_usd, cost.upper_bound) == (0.0, 5.0, True)


def test_events_of_earlier_attempts_go_along(yard: Yard) -> None:
    yard.submit("other", b"{}")
    yard.submit("one")
    yard.tick()
    carried = yard.result("other").events
    lease = yard.lease("one").waiting(not_before=yard.now, events=carried)
    yard.raw.put("leases/one.json", lease.body(), Always())
    events = canceller(yard).cancel("one").result.events

    assert [event.event for event in events] == [REQUESTED, carried[0].event, CANCELLED]


@pytest.mark.parametrize("ticks_before", [0, 1])
def test_undelivered_events_are_left_for_a_dispatcher_to_replay(
    yard: Yard, ticks_before: int
) -> None:
    yard.submit("one")
    for _ in range(ticks_before):
        yard.tick()
    done = canceller(yard, Unreachable()).cancel("one")

    assert not done.delivered
    lease = yard.lease("one")
    assert lease.committed
    assert lease.phase is Phase.RETRY
    assert lease.not_before is not None
    assert lease.not_before > yard.now

    yard.pass_time(60)
    for _ in range(3):
        yard.tick()

    assert isinstance(yard.sink, MemorySink)
    assert yard.event_names() == [REQUESTED, CANCELLED]
    assert not yard.keys("leases/")
    assert not yard.keys("inbox/")


def at_the_first(call: str, key: str, act: Callable[[], None], yard: Yard) -> None:
    """Have `act` happen just before the first such call."""

    def fail(made: str, at: str) -> None:
        if (made, at) == (call, key):
            yard.raw.fail = lambda call, key: None
            act()

    yard.raw.fail = fail


def test_a_renewal_between_reading_and_replacing_the_lease_does_no_harm(yard: Yard) -> None:
    yard.submit("one")
    yard.tick()

    def renew() -> None:
        renewed = yard.lease("one").with_(owner="renewed")
        yard.raw.put("leases/one.json", renewed.body(), Always())

    at_the_first("PUT", "leases/one.json", renew, yard)
    canceller(yard, Unreachable()).cancel("one")

    assert yard.lease("one").committed
    assert yard.lease("one").owner == "renewed"


def test_a_job_claimed_and_spawned_while_it_is_looked_for_is_cancelled(yard: Yard) -> None:
    yard.submit("one")

    def spawn() -> None:
        yard.tick()

    at_the_first("GET", "inbox/one.json", spawn, yard)
    done = canceller(yard).cancel("one")

    assert done.result.status is Status.CANCELLED
    assert not yard.keys("leases/")


def test_a_finished_job_stays_as_it_is(yard: Yard) -> None:
    yard.submit("one", b"{}")
    yard.tick()
    before = yard.result("one")

    with pytest.raises(AlreadyFinished, match="is rejected already"):
        canceller(yard).cancel("one")

    assert yard.result("one") == before


def test_a_job_that_finishes_first_wins(yard: Yard) -> None:
    yard.submit("one")
    yard.tick()
    [payload] = yard.held.payloads

    def finish() -> None:
        InstantEngine(yard.context).submit("Flux", payload)

    at_the_first("PUT", "jobs/one/result.json", finish, yard)

    with pytest.raises(AlreadyFinished, match="is succeeded already"):
        canceller(yard).cancel("one")


def test_an_id_of_no_job_is_refused_and_nothing_is_written(yard: Yard) -> None:
    with pytest.raises(UnknownJob):
        canceller(yard).cancel("nobody")

    assert not yard.keys()


def test_a_manifest_that_is_too_large_is_left_to_the_dispatcher(yard: Yard) -> None:
    yard.submit("big", b" " * (MAX_BYTES + 1))

    with pytest.raises(ManifestTooLarge):
        canceller(yard).cancel("big")
