from pipeline.forecast.waiting_jobs import waiting_jobs
from tests.pipeline.conftest import MakePipeline
from tests.support.manifests import body


def test_what_waits_and_what_was_claimed_are_both_read(make_pipeline: MakePipeline) -> None:
    pipeline = make_pipeline(holding=True)
    pipeline.submit("claimed")
    pipeline.tick()
    pipeline.submit("waiting", body(tenant="acme"), key="inbox/4.acme.flux-dev.waiting.json")
    pipeline.submit("odd", b"{}")
    found = waiting_jobs(pipeline.store, pipeline.runtime)

    assert sorted(job.id for job in found.jobs) == ["claimed", "waiting"]
    assert (found.begun, found.unreadable) == (1, 1)


def test_a_job_that_has_ended_is_none(make_pipeline: MakePipeline) -> None:
    pipeline = make_pipeline()
    pipeline.submit("done")
    pipeline.tick()

    assert waiting_jobs(pipeline.store, pipeline.runtime).jobs == []
