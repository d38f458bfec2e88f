"""What each answer, and none, makes of the lease of a job that has ended."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from events.sender import EVENTS, Sender
from events.sink import MemorySink, NotDelivered
from pipeline.contract.keys import lease_key
from pipeline.contract.lease import Lease
from pipeline.notify.delivery import ResultDelivery
from pipeline.store.conditional import Won
from tests.pipeline.conftest import MakePipeline
from tests.support.jobs import a_lease, a_result
from tests.support.pipeline_fixture import PipelineFixture

CALLBACK = "callback:example.org"
DOWN = NotDelivered("503: busy", status=503)


@dataclass(frozen=True)
class Given:
    arrived: Callable[[], None]
    failed: Callable[[NotDelivered], None]
    slow: Callable[[], None]


class HeldSender(Sender):
    """Sends nothing; the test gives the answers, by target."""

    def __init__(self) -> None:
        super().__init__(MemorySink())
        self.given: dict[str, Given] = {}

    def run(
        self,
        send: Callable[[], object],
        on_delivered: Callable[[], None],
        on_undelivered: Callable[[NotDelivered], None],
        *,
        on_slow: Callable[[], None] = lambda: None,
        target: str = EVENTS,
    ) -> None:
        self.given[target] = Given(on_delivered, on_undelivered, on_slow)


@pytest.fixture
def sender() -> Iterator[HeldSender]:
    with HeldSender() as sender:
        yield sender


@pytest.fixture
def pipeline(make_pipeline: MakePipeline) -> PipelineFixture:
    return make_pipeline(posthog_timeout_seconds=3, callback_timeout_seconds=7)


def deliver(pipeline: PipelineFixture, sender: HeldSender, **fields: Any) -> Lease:
    """Begin the delivery of a job with events and a callback, under a lease with these fields."""
    lease = a_lease(**fields)
    outcome = pipeline.store.create(lease_key("job"), lease.body())
    assert isinstance(outcome, Won)
    delivery = ResultDelivery(pipeline.store, sender, pipeline.settings, lambda: 1.0)
    delivery.deliver(a_result(callback_url="https://example.org/done"), lease, outcome.etag)
    pipeline.raw.calls.clear()
    return lease


@pytest.mark.parametrize(("already", "fails"), [("events_out", CALLBACK), ("callback_out", EVENTS)])
def test_what_arrived_before_stays_so_when_the_other_fails(
    pipeline: PipelineFixture, sender: HeldSender, already: str, fails: str
) -> None:
    deliver(pipeline, sender, committed=True, **{already: True})
    assert sender.given.keys() == {fails}
    sender.given[fails].failed(DOWN)
    lease = pipeline.lease("job")
    assert getattr(lease, already)
    assert (lease.events_out, lease.callback_out).count(True) == 1


def test_the_last_answer_deletes_the_lease(pipeline: PipelineFixture, sender: HeldSender) -> None:
    deliver(pipeline, sender)
    sender.given[CALLBACK].arrived()
    assert pipeline.keys("leases/")
    sender.given[EVENTS].arrived()
    assert not pipeline.keys("leases/")
    assert pipeline.raw.calls.get("PUT", 0) == 0


@pytest.mark.parametrize(("posthog_s", "callback_s"), [(3, 7), (7, 3)])
def test_what_has_no_answer_is_owed_and_due_when_it_is_too_late_for_one(
    make_pipeline: MakePipeline, sender: HeldSender, posthog_s: int, callback_s: int
) -> None:
    pipeline = make_pipeline(
        posthog_timeout_seconds=posthog_s,
        callback_timeout_seconds=callback_s,
        backoff_base_seconds=5,
    )
    deliver(pipeline, sender)
    sender.given[CALLBACK].arrived()
    sender.given[EVENTS].slow()
    lease = pipeline.lease("job")
    assert (lease.committed, lease.callback_out, lease.events_out) == (True, True, False)
    assert lease.not_before == pipeline.now + timedelta(seconds=7 + 5)
    assert lease.deliveries == 0

    sender.given[EVENTS].failed(DOWN)
    lease = pipeline.lease("job")
    assert (lease.deliveries, lease.delivery_tries) == (1, 1), "it goes on from what was marked"


def test_what_is_owed_already_is_not_marked_again(
    pipeline: PipelineFixture, sender: HeldSender
) -> None:
    deliver(pipeline, sender, committed=True)
    sender.given[EVENTS].slow()
    assert pipeline.raw.calls == {}


def test_what_has_every_answer_is_not_slow(pipeline: PipelineFixture, sender: HeldSender) -> None:
    deliver(pipeline, sender)
    sender.given[CALLBACK].arrived()
    sender.given[EVENTS].arrived()
    pipeline.raw.calls.clear()
    sender.given[EVENTS].slow()
    assert pipeline.raw.calls == {}


def test_a_lease_that_another_has_by_now_is_left_alone(
    pipeline: PipelineFixture, sender: HeldSender
) -> None:
    lease = deliver(pipeline, sender)
    theirs = lease.with_(owner="another").body()
    pipeline.store.write(lease_key("job"), theirs, "application/json")
    sender.given[EVENTS].slow()
    sender.given[CALLBACK].arrived()
    sender.given[EVENTS].failed(DOWN)
    assert pipeline.lease("job").owner == "another"
    assert pipeline.lease("job").body() == theirs
