"""Two versions of a deploy run side by side for a while: each meets bodies of the other's."""

import json
import time
from datetime import timedelta
from typing import Any

import pytest

from events.sink import MemorySink, NotDelivered
from pipeline.contract.keys import deploy_key, lease_key, result_key
from pipeline.contract.lease import Phase
from pipeline.contract.result import Result
from pipeline.dispatcher.deploy_event import OVERLAP_S, newer_is_deployed
from pipeline.dispatcher.dispatcher import Dispatcher
from pipeline.dispatcher.preflight import NEWER_PAUSE_S
from pipeline.store.base import Always
from pipeline.worker.execution import Ending, execute
from tests.pipeline.conftest import MakePipeline
from tests.support.manifests import body
from tests.support.pipeline_fixture import PipelineFixture

OWN = "1.0+own"
LATER = {"of_tomorrow": {"deep": [1, 2]}}
UNKNOWN = body(model="hologram")
COMPLETED = "modal_flux_dev_generation_completed"


class FlakySink(MemorySink):
    """Takes nothing while it is down."""

    down = False

    def deliver(self, events: Any) -> Any:
        if self.down:
            raise NotDelivered("down")
        return super().deliver(events)


@pytest.fixture
def pipeline(make_pipeline: MakePipeline) -> PipelineFixture:
    return make_pipeline(app_version=OWN, holding=True, sink=FlakySink())


def rewrite(pipeline: PipelineFixture, key: str, **changes: Any) -> None:
    """As a later version would have written what stands there."""
    stored = pipeline.raw._store.get(key)
    assert stored is not None
    document = json.loads(stored.body) | LATER | changes
    pipeline.raw._store.put(key, json.dumps(document).encode(), Always())


def deploy(pipeline: PipelineFixture, version: str) -> None:
    pipeline.raw._store.put(deploy_key(version), b"{}", Always())


def test_a_worker_runs_a_payload_of_tomorrow(pipeline: PipelineFixture) -> None:
    pipeline.submit("cat")
    pipeline.tick()
    (payload,) = pipeline.held.payloads
    tomorrow = payload.model_dump(mode="json") | LATER | {"v": 2}
    tomorrow["lease"] |= LATER

    read = type(payload).model_validate(tomorrow)
    assert execute(read, pipeline.context, call_id="call") is Ending.COMMITTED
    assert pipeline.result("cat").attempt == 1


def test_a_payload_of_yesterday_has_no_version_and_runs(pipeline: PipelineFixture) -> None:
    pipeline.submit("cat")
    pipeline.tick()
    (payload,) = pipeline.held.payloads
    yesterday = payload.model_dump(mode="json", exclude_none=True)
    del yesterday["v"]

    read = type(payload).model_validate(yesterday)
    assert execute(read, pipeline.context, call_id="call") is Ending.COMMITTED


def owing(pipeline: PipelineFixture) -> Result:
    """A committed job whose events have not arrived yet."""
    assert isinstance(pipeline.sink, FlakySink)
    pipeline.submit("cat")
    pipeline.tick()
    pipeline.sink.down = True
    execute(pipeline.held.payloads[0], pipeline.context, call_id="call")
    pipeline.deliver()
    pipeline.sink.down = False
    assert COMPLETED not in pipeline.event_names()
    pipeline.pass_time(10_000)
    return pipeline.result("cat")


def replay(pipeline: PipelineFixture, dispatcher: Dispatcher) -> None:
    """Tick until the events are out: the sender leaves a sink that was down alone for a moment."""
    until = time.monotonic() + 5
    while COMPLETED not in pipeline.event_names() and time.monotonic() < until:
        pipeline.pass_time(10_000)
        pipeline.tick(dispatcher)
        time.sleep(0.01)


def test_events_of_a_result_of_tomorrow_are_delivered(pipeline: PipelineFixture) -> None:
    result = owing(pipeline)
    rewrite(
        pipeline,
        result_key("cat"),
        v=2,
        outputs=[{**LATER, **each.model_dump(mode="json")} for each in result.outputs],
    )
    rewrite(pipeline, lease_key("cat"), v=2)

    replay(pipeline, pipeline.another("old"))
    assert COMPLETED in pipeline.event_names()
    assert pipeline.keys("leases/") == []


def test_events_of_a_result_that_cannot_be_read_stay_owed(pipeline: PipelineFixture) -> None:
    owing(pipeline)
    whole = pipeline.raw._store.get(result_key("cat"))
    assert whole is not None
    rewrite(pipeline, result_key("cat"), status="of-tomorrow")

    pipeline.tick(pipeline.another("old"))

    lease = pipeline.lease("cat")
    assert (lease.phase, lease.committed, lease.events_out) == (Phase.RETRY, True, False)
    assert COMPLETED not in pipeline.event_names()

    pipeline.raw._store.put(result_key("cat"), whole.body, Always())
    replay(pipeline, pipeline.another("new"))
    assert COMPLETED in pipeline.event_names()
    assert pipeline.keys("leases/") == []


def test_a_result_that_nobody_can_read_does_not_hold_its_lease_for_ever(
    pipeline: PipelineFixture,
) -> None:
    owing(pipeline)
    rewrite(pipeline, result_key("cat"), status="nonsense")

    time.sleep(0.06)  # the sender's own pause
    for _ in range(pipeline.settings.event_tries + 1):
        pipeline.tick()
        pipeline.pass_time(100_000)
    assert pipeline.keys("leases/") == []


def test_a_renewal_keeps_what_a_later_version_wrote(pipeline: PipelineFixture) -> None:
    pipeline.submit("cat")
    pipeline.tick()
    rewrite(pipeline, lease_key("cat"), restarts=2)

    pipeline.pass_time(pipeline.settings.spawned_seconds + 120)
    pipeline.tick(pipeline.another("old"))

    stored = pipeline.raw._store.get(lease_key("cat"))
    assert stored is not None
    taken = json.loads(stored.body)
    assert (taken["attempt"], taken["restarts"], taken["of_tomorrow"]) == (2, 2, {"deep": [1, 2]})


def test_a_kind_of_tomorrow_is_left_to_the_version_that_knows_it(
    pipeline: PipelineFixture,
) -> None:
    deploy(pipeline, OWN)
    pipeline.pass_time(60)
    deploy(pipeline, "2.0+next")
    pipeline.submit("cat", UNKNOWN)

    for _ in range(5):
        pipeline.tick()
        pipeline.pass_time(NEWER_PAUSE_S)
    assert pipeline.lease("cat").failures == 0
    assert pipeline.keys("jobs/cat/result") == []


def test_a_kind_that_no_version_took_within_the_overlap_is_refused(
    pipeline: PipelineFixture,
) -> None:
    deploy(pipeline, OWN)
    pipeline.pass_time(60)
    deploy(pipeline, "2.0+next")
    pipeline.submit("cat", UNKNOWN)
    pipeline.tick()

    pipeline.pass_time(OVERLAP_S)
    pipeline.tick()
    error = pipeline.result("cat").error
    assert error is not None
    assert error.field == "model"


@pytest.mark.parametrize(
    ("deploys", "newer"),
    [
        ((), False),
        ((OWN,), False),
        (("0.9+before", OWN), False),
        ((OWN, "2.0+next"), True),
        (("2.0+next",), False),  # this process was never deployed, so nothing is newer
    ],
)
def test_a_newer_deploy_is_one_that_was_written_later(
    pipeline: PipelineFixture, deploys: tuple[str, ...], newer: bool
) -> None:
    for version in deploys:
        deploy(pipeline, version)
        pipeline.pass_time(5)
    pipeline.store.list("")  # reads the store's clock
    assert newer_is_deployed(pipeline.store, OWN) is newer
    pipeline.now += timedelta(seconds=OVERLAP_S)
    assert not newer_is_deployed(pipeline.store, OWN)
