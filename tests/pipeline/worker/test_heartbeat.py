from typing import Any

import pytest

from pipeline.contract.lease import Lease, Progress
from pipeline.store.base import Always, OutcomeUnknown
from pipeline.store.conditional import Won
from pipeline.worker.heartbeat import Heartbeat
from tests.pipeline.conftest import MakePipeline
from tests.pipeline.dispatcher.test_survey import lease
from tests.support.pipeline_fixture import PipelineFixture
from tests.support.stack import wait_until

QUICK = {"first_renew_seconds": 0.1, "renew_seconds": 0.1, "running_seconds": 2}
RARE = {"first_renew_seconds": 0.1, "renew_seconds": 25}


@pytest.fixture
def beating(make_pipeline: MakePipeline) -> PipelineFixture:
    return make_pipeline(**QUICK)


def heart(pipeline: PipelineFixture, **options: Any) -> Heartbeat:
    """Over the lease of a job that has just started."""
    started = lease("job-1", nonce="mine")
    outcome = pipeline.store.create("leases/job-1.json", started.body())
    assert isinstance(outcome, Won)
    return Heartbeat(pipeline.store, started, outcome.etag, pipeline.settings, **options)


def stored(pipeline: PipelineFixture) -> Lease:
    return pipeline.lease("job-1")


def test_a_lease_is_renewed_with_the_progress(beating: PipelineFixture) -> None:
    with heart(beating) as beat:
        beat.report(0.25, "KSampler")
        assert wait_until(lambda: stored(beating).progress is not None)
        beat.report(7, None)
        assert wait_until(lambda: stored(beating).progress == Progress(fraction=1.0))
    assert not beat.lost
    held, etag = beat.held
    assert held == stored(beating)
    assert beating.store.list("leases/").entries[0].etag == etag
    assert (held.nonce, held.claim) == ("mine", "c")


def test_a_short_job_writes_nothing(make_pipeline: MakePipeline) -> None:
    pipeline = make_pipeline()
    with heart(pipeline) as beat:
        pass
    assert beat.held[0].seq == stored(pipeline).seq == 0


def test_after_the_first_renewal_the_next_ones_come_more_rarely(
    make_pipeline: MakePipeline,
) -> None:
    pipeline = make_pipeline(**RARE)
    with heart(pipeline) as beat:
        assert wait_until(lambda: stored(pipeline).seq == 1)
        assert not wait_until(lambda: stored(pipeline).seq > 1, 0.3)
    assert not beat.lost


def test_a_lease_that_another_took_over_is_lost(beating: PipelineFixture) -> None:
    with heart(beating) as beat:
        other = lease("job-1", attempt=2, nonce="theirs")
        beating.store.raw.put("leases/job-1.json", other.body(), Always())
        assert wait_until(lambda: beat.lost)
    assert stored(beating) == other


def test_a_lease_that_is_gone_is_lost_and_not_written_again(beating: PipelineFixture) -> None:
    with heart(beating) as beat:
        beating.store.delete("leases/job-1.json")
        assert wait_until(lambda: beat.lost)
    assert beating.keys("leases/") == []


def test_a_store_that_is_briefly_away_costs_no_lease(beating: PipelineFixture) -> None:
    with heart(beating) as beat:
        calls = beating.raw.calls["PUT"]
        beating.raw.fail = lambda call, key: OutcomeUnknown("500")
        assert wait_until(lambda: beating.raw.calls["PUT"] > calls + 1)
        beating.raw.fail = lambda call, key: None
        assert wait_until(lambda: stored(beating).seq > 0)
    assert not beat.lost


def test_a_renewal_that_was_applied_unseen_is_known_as_ones_own(beating: PipelineFixture) -> None:
    """The store applies it, tells nobody, and is away until the progress has moved on."""
    inner = beating.raw._store
    away = True

    class Applying:
        def __getattr__(self, name: str) -> Any:
            return getattr(inner, name)

        def put(self, *args: Any, **options: Any) -> Any:
            written = inner.put(*args, **options)
            if away:
                raise OutcomeUnknown("no reply")
            return written

        def get(self, *args: Any, **options: Any) -> Any:
            if away:
                raise OutcomeUnknown("no reply")
            return inner.get(*args, **options)

    with heart(beating) as beat:
        beating.raw._store = Applying()
        assert wait_until(lambda: inner.get("leases/job-1.json").body != beat.held[0].body())  # type: ignore[union-attr]
        beat.report(0.9, "VAEDecode")
        away = False
        assert wait_until(lambda: beat.held[0].seq >= 2 or beat.lost)
    assert not beat.lost


def test_a_store_that_is_away_for_longer_than_the_lease_lives_ends_the_job(
    beating: PipelineFixture,
) -> None:
    now = [0.0]
    with heart(beating, monotonic=lambda: now[0]) as beat:
        beating.raw.fail = lambda call, key: OutcomeUnknown("500")
        assert not wait_until(lambda: beat.lost, 0.3)
        now[0] = 2.1
        assert wait_until(lambda: beat.lost)
