from datetime import timedelta

from pipeline.contract.keys import manifest_key, result_key
from pipeline.contract.tombstone import MANIFEST
from pipeline.erasure.scan import scan_jobs
from tests.support.audits import begin_to_forget
from tests.support.erasures import manifest, put
from tests.support.manifests import body
from tests.support.pipeline_fixture import PipelineFixture


def test_jobs_of_persons_are_read_wherever_they_stand(pipeline: PipelineFixture) -> None:
    put(pipeline, manifest_key("adopted"), manifest())
    put(pipeline, "inbox/waits.json", manifest())
    put(pipeline, "inbox/4.acme.character-sheet.keyed.json", manifest())
    put(pipeline, "inbox/plain.json", body())
    put(pipeline, "inbox/NOTE.txt", b"hello")
    scan = scan_jobs(pipeline.store)
    assert sorted(scan.traces) == ["adopted", "keyed", "waits"]
    assert (scan.objects, scan.manifests) == (5, 4)


def test_of_an_adopted_job_its_manifest_counts(pipeline: PipelineFixture) -> None:
    put(pipeline, manifest_key("one"), manifest())
    put(pipeline, "inbox/one.json", body())
    assert scan_jobs(pipeline.store).traces["one"].tenant == "acme"


def test_a_forgotten_job_is_not_read(pipeline: PipelineFixture) -> None:
    put(pipeline, manifest_key("one"), MANIFEST)
    put(pipeline, "inbox/one.json", manifest())
    scan = scan_jobs(pipeline.store)
    assert (scan.traces, scan.manifests) == ({}, 0)


def test_what_ended_before_a_time_is_told_by_the_listing(pipeline: PipelineFixture) -> None:
    for id in ("old", "good"):
        pipeline.submit(id)
        pipeline.tick()
        pipeline.pass_time(3600)
    put(pipeline, manifest_key("gone"), MANIFEST)
    before = pipeline.now - timedelta(minutes=90)
    pipeline.raw.gets.clear()
    assert scan_jobs(pipeline.store, before).old == {"old"}
    assert scan_jobs(pipeline.store).old == frozenset()


def test_an_erasure_that_was_begun_counts_as_old(pipeline: PipelineFixture) -> None:
    pipeline.submit("good")
    pipeline.tick()
    pipeline.pass_time(3600)
    begin_to_forget(pipeline)
    assert result_key("good") in pipeline.keys("jobs/")
    assert scan_jobs(pipeline.store, pipeline.now - timedelta(minutes=5)).old == {"good"}
