from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta

import pytest

from config.errors import AlreadyFinished, ManifestTooLarge, UnknownJob
from events.sink import EventSink, MemorySink, NotDelivered
from events.stored_event import StoredEvent
from pipeline.contract.keys import MAX_BYTES
from pipeline.contract.lease import Phase
from pipeline.contract.result import Status
from pipeline.jobs.cancel import Canceller
from pipeline.store.base import Always
from tests.support.audits import audited, found
from tests.support.begun_sheets import put_begun_sheet
from tests.support.instant_comfyui import InstantEngine
from tests.support.manifests import body
from tests.support.pipeline_fixture import NOON, PipelineFixture

REQUESTED, CANCELLED = (f"modal_flux_dev_generation_{it}" for it in ("requested", "cancelled"))


class Unreachable:
    def deliver(self, events: Sequence[StoredEvent]) -> Sequence[StoredEvent]:
        raise NotDelivered("down")


@pytest.fixture
def pipeline() -> Iterator[PipelineFixture]:
    pipeline = PipelineFixture(holding=True)
    yield pipeline
    pipeline.close()


def canceller(pipeline: PipelineFixture, sink: EventSink | None = None) -> Canceller:
    return Canceller(pipeline.store, pipeline.runtime, sink or pipeline.sink, "cli")


@pytest.mark.parametrize("key", ["inbox/one.json", "inbox/4.acme.flux-dev.one.json"])
def test_a_waiting_job_gets_its_result_and_never_runs(pipeline: PipelineFixture, key: str) -> None:
    pipeline.submit("one", body(tenant="acme", metadata={"order": 7}), key=key)
    done = canceller(pipeline).cancel("one")

    assert done.delivered
    assert done.result == pipeline.result("one")
    assert done.result.status is Status.CANCELLED
    assert (done.result.model, done.result.tenant) == ("flux-dev", "acme")
    assert (done.result.attempt, done.result.submitted_at) == (0, NOON)
    assert done.result.cost is not None
    assert done.result.cost.estimate_usd is not None
    assert pipeline.event_names() == [REQUESTED, CANCELLED]

    pipeline.tick()

    assert not pipeline.held.payloads
    assert not pipeline.keys("inbox/")
    assert not pipeline.keys("leases/")
    assert pipeline.event_names() == [REQUESTED, CANCELLED]
    assert pipeline.result("one") == done.result


def test_a_spawned_job_is_cancelled_and_its_worker_finds_the_lease_gone(
    pipeline: PipelineFixture,
) -> None:
    pipeline.submit("one")
    pipeline.tick()
    done = canceller(pipeline).cancel("one")
    assert done.result.attempt == 1
    assert not pipeline.keys("leases/")

    [payload] = pipeline.held.payloads
    InstantEngine(pipeline.context).submit("Flux", payload)
    pipeline.deliver()

    assert pipeline.result("one").status is Status.CANCELLED
    assert not pipeline.keys("jobs/one/out/")


def test_what_the_running_attempt_cost_so_far_is_counted(pipeline: PipelineFixture) -> None:
    pipeline.submit("one")
    pipeline.tick()
    running = pipeline.lease("one").started(
        nonce="n",
        owner="w",
        attempt=2,
        call_id=None,
        ttl_s=60,
        rate_usd_per_s=0.5,
        now=pipeline.now - timedelta(seconds=10),
    )
    pipeline.raw.put("leases/one.json", running.body(), Always())
    cost = canceller(pipeline).cancel("one").result.cost

    assert cost is not None
    assert (cost.usd, cost.total_usd, cost.upper_bound) == (0.0, 5.0, True)


def test_events_of_earlier_attempts_go_along(pipeline: PipelineFixture) -> None:
    pipeline.submit("other", b"{}")
    pipeline.submit("one")
    pipeline.tick()
    carried = pipeline.result("other").events
    lease = pipeline.lease("one").waiting(not_before=pipeline.now, events=carried)
    pipeline.raw.put("leases/one.json", lease.body(), Always())
    events = canceller(pipeline).cancel("one").result.events

    assert [event.event for event in events] == [REQUESTED, carried[0].event, CANCELLED]


@pytest.mark.parametrize("ticks_before", [0, 1])
def test_undelivered_events_are_left_for_a_dispatcher_to_replay(
    pipeline: PipelineFixture, ticks_before: int
) -> None:
    pipeline.submit("one")
    for _ in range(ticks_before):
        pipeline.tick()
    done = canceller(pipeline, Unreachable()).cancel("one")

    assert not done.delivered
    lease = pipeline.lease("one")
    assert lease.committed
    assert lease.phase is Phase.RETRY
    assert lease.not_before is not None
    assert lease.not_before > pipeline.now

    pipeline.pass_time(60)
    for _ in range(3):
        pipeline.tick()

    assert isinstance(pipeline.sink, MemorySink)
    assert pipeline.event_names() == [REQUESTED, CANCELLED]
    assert not pipeline.keys("leases/")
    assert not pipeline.keys("inbox/")


def at_the_first(call: str, key: str, act: Callable[[], None], pipeline: PipelineFixture) -> None:
    """Have `act` happen just before the first such call."""

    def fail(made: str, at: str) -> None:
        if (made, at) == (call, key):
            pipeline.raw.fail = lambda call, key: None
            act()

    pipeline.raw.fail = fail


def test_a_renewal_between_reading_and_replacing_the_lease_does_no_harm(
    pipeline: PipelineFixture,
) -> None:
    pipeline.submit("one")
    pipeline.tick()

    def renew() -> None:
        renewed = pipeline.lease("one").with_(owner="renewed")
        pipeline.raw.put("leases/one.json", renewed.body(), Always())

    at_the_first("PUT", "leases/one.json", renew, pipeline)
    canceller(pipeline, Unreachable()).cancel("one")

    assert pipeline.lease("one").committed
    assert pipeline.lease("one").owner == "renewed"


def test_a_job_claimed_and_spawned_while_it_is_looked_for_is_cancelled(
    pipeline: PipelineFixture,
) -> None:
    pipeline.submit("one")

    def spawn() -> None:
        pipeline.tick()

    at_the_first("GET", "inbox/one.json", spawn, pipeline)
    done = canceller(pipeline).cancel("one")

    assert done.result.status is Status.CANCELLED
    assert not pipeline.keys("leases/")


def test_a_finished_job_stays_as_it_is(pipeline: PipelineFixture) -> None:
    pipeline.submit("one", b"{}")
    pipeline.tick()
    before = pipeline.result("one")

    with pytest.raises(AlreadyFinished, match="is rejected already"):
        canceller(pipeline).cancel("one")

    assert pipeline.result("one") == before


def test_a_job_that_finishes_first_wins(pipeline: PipelineFixture) -> None:
    pipeline.submit("one")
    pipeline.tick()
    [payload] = pipeline.held.payloads

    def finish() -> None:
        InstantEngine(pipeline.context).submit("Flux", payload)

    at_the_first("PUT", "jobs/one/result.json", finish, pipeline)

    with pytest.raises(AlreadyFinished, match="is succeeded already"):
        canceller(pipeline).cancel("one")


def test_an_id_of_no_job_is_refused_and_nothing_is_written(pipeline: PipelineFixture) -> None:
    with pytest.raises(UnknownJob):
        canceller(pipeline).cancel("nobody")

    assert not pipeline.keys()


def test_a_manifest_that_is_too_large_is_left_to_the_dispatcher(pipeline: PipelineFixture) -> None:
    pipeline.submit("big", b" " * (MAX_BYTES + 1))

    with pytest.raises(ManifestTooLarge):
        canceller(pipeline).cancel("big")


def test_a_begun_sheet_stays_cancelled_and_has_its_views_and_its_files(
    pipeline: PipelineFixture,
) -> None:
    """Also with `min_views` of its views."""
    put_begun_sheet(pipeline.raw._store)
    result = canceller(pipeline).cancel("sheet").result

    assert result == pipeline.result("sheet")
    assert (result.status, result.partial) == (Status.CANCELLED, True)
    assert [output.view and output.view.id for output in result.outputs] == ["v1", "v2"]
    assert [missing.reason for missing in result.missing] == ["cancelled"]
    assert [file.name for file in result.files] == ["sheet.json", "contact-sheet.png"]
    assert result.sheet is not None
    assert result.sheet.made == 2
    assert found(audited(pipeline, content=True)) == []


def test_a_worker_that_ends_the_sheet_at_the_same_time_writes_elsewhere(
    pipeline: PipelineFixture,
) -> None:
    """It has the same attempt, and is told only at its next renewal."""
    put_begun_sheet(pipeline.raw._store)
    own = "jobs/sheet/out/a1/sheet.json"

    def end() -> None:
        pipeline.raw.put(own, b"{}", Always())

    at_the_first("PUT", "jobs/sheet/result.json", end, pipeline)
    canceller(pipeline).cancel("sheet")

    assert own not in {file.key for file in pipeline.result("sheet").files}
    audit = audited(pipeline, content=True)
    assert (found(audit), audit.tally.waste) == ([], 1)


def test_a_sheet_that_another_ends_first_keeps_that_result(pipeline: PipelineFixture) -> None:
    put_begun_sheet(pipeline.raw._store)

    def overtake() -> None:
        canceller(pipeline).cancel("sheet")

    at_the_first("PUT", "jobs/sheet/result.json", overtake, pipeline)

    with pytest.raises(AlreadyFinished):
        canceller(pipeline).cancel("sheet")

    audit = audited(pipeline, content=True)
    assert (found(audit), audit.tally.waste) == ([], 2)
