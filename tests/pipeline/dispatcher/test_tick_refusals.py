"""What cannot become a job, or is not run, is answered or filed, whatever it holds."""

import json
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.contract.result import Status
from tests.pipeline.conftest import MakePipeline
from tests.support.manifests import body
from tests.support.pipeline_fixture import NOON, PipelineFixture


@pytest.mark.parametrize(
    ("manifest", "code", "field"),
    [
        (b"{", "manifest_not_json", None),
        (b"", "manifest_not_json", None),
        (b" " * 300_000, "manifest_too_large", None),
        (b'{"version": 2}', "unsupported_version", "version"),
        (body(input={"stpes": 3}), "unknown_field", "input.stpes"),
        (body(input={"steps": 0}), "invalid_field", "input.steps"),
        (body(model="wan-t2v"), "not_available", "model"),
        (body(callback_url="https://example.com"), "not_available", "callback_url"),
        (
            body(max_cost_usd=0.0001, input={"steps": 50, "num_images": 8}),
            "over_budget",
            "max_cost_usd",
        ),
        (body(prompt="\ud800"), "manifest_not_json", None),
        (body(metadata={"n": 1}).replace(b"1}", b"1e999}"), "manifest_not_json", None),
    ],
    ids=lambda value: str(value)[:30] if isinstance(value, str) else "",
)
def test_a_bad_manifest_ends_in_a_rejected_result(
    pipeline: PipelineFixture, manifest: bytes, code: str, field: str | None
) -> None:
    pipeline.submit("bad", manifest)
    pipeline.submit("good")
    report = pipeline.tick()
    result = pipeline.result("bad")
    assert result.status is Status.REJECTED
    assert result.error is not None
    assert (result.error.code, result.error.field) == (code, field)
    assert result.error.hint or code in ("invalid_field",)
    assert (report.committed, report.failed) == (1, 0)
    assert pipeline.result("good").status is Status.SUCCEEDED
    assert pipeline.keys("inbox/") == pipeline.keys("leases/") == []


def test_a_result_names_every_problem_of_its_manifest(pipeline: PipelineFixture) -> None:
    pipeline.submit("bad", body(input={"steps": 0, "stpes": 1}))
    pipeline.tick()
    result = pipeline.result("bad")
    assert result.error is not None
    assert {result.error.field, *(more.field for more in result.also)} == {
        "input.steps",
        "input.stpes",
    }


def test_a_refusal_says_what_the_budget_would_have_to_be(pipeline: PipelineFixture) -> None:
    pipeline.submit("dear", body(max_cost_usd=0.0001, input={"steps": 50}))
    pipeline.tick()
    error = pipeline.result("dear").error
    assert error is not None
    assert error.hint is not None
    allowed = float(error.hint.split("$")[1].split(",")[0])
    pipeline.submit("paid", body(max_cost_usd=allowed, input={"steps": 50}))
    pipeline.tick()
    assert pipeline.result("paid").status is Status.SUCCEEDED


@pytest.mark.parametrize(
    ("deadline", "status"),
    [(NOON - timedelta(seconds=1), Status.FAILED), (NOON + timedelta(hours=1), Status.SUCCEEDED)],
)
def test_a_deadline_is_kept_by_the_stores_clock(
    pipeline: PipelineFixture, deadline: Any, status: Status
) -> None:
    pipeline.submit("job-1", body(deadline=deadline.isoformat()))
    pipeline.tick()
    result = pipeline.result("job-1")
    assert result.status is status
    assert (result.error is not None and result.error.code) == (
        "deadline_exceeded" if status is Status.FAILED else False
    )


def test_a_job_whose_deadline_passes_on_the_way_is_not_begun(holding: PipelineFixture) -> None:
    holding.submit("job-1", body(deadline=(NOON + timedelta(seconds=30)).isoformat()))
    holding.tick()
    holding.pass_time(60)
    (payload,) = holding.held.payloads
    holding.store.list("leases/")
    from pipeline.worker.execution import execute

    execute(payload, holding.context, call_id=None)
    result = holding.result("job-1")
    assert result.status is Status.FAILED
    assert result.error is not None
    assert result.error.code == "deadline_exceeded"
    assert result.outputs == ()


def test_a_key_that_belies_its_manifest_is_refused(pipeline: PipelineFixture) -> None:
    pipeline.submit("job-1", body(tenant="acme"), key="inbox/4.other.flux-dev.job-1.json")
    pipeline.tick()
    error = pipeline.result("job-1").error
    assert error is not None
    assert (error.code, error.field) == ("key_mismatch", "tenant")


def test_a_duplicate_submission_changes_nothing(pipeline: PipelineFixture) -> None:
    pipeline.submit("job-1")
    pipeline.tick()
    first = pipeline.store.get("jobs/job-1/result.json")
    pipeline.submit("job-1")
    report = pipeline.tick()
    again = pipeline.store.get("jobs/job-1/result.json")
    assert first is not None
    assert again is not None
    assert first.body == again.body
    assert report.cleaned == 1
    assert pipeline.keys("inbox/") == pipeline.keys("leases/") == pipeline.keys("rejected/") == []


def test_another_body_for_a_used_id_is_filed_and_changes_nothing(pipeline: PipelineFixture) -> None:
    pipeline.submit("job-1", body("a cat"))
    pipeline.tick()
    first = pipeline.result("job-1")
    pipeline.submit("job-1", body("a dog"))
    pipeline.tick()
    assert pipeline.result("job-1") == first
    (record,) = pipeline.rejected()
    assert record["error"]["code"] == "id_conflict"
    assert "a dog" in record["body"]
    assert pipeline.keys("inbox/") == pipeline.keys("leases/") == []
    assert "modal_manifest_rejected" in pipeline.event_names()


@pytest.mark.parametrize(
    "name",
    [
        "Bad Name.json",
        "UPPER.json",
        "a.b.json",
        "job-1.txt",
        "-dash.json",
        "é.json",
        "x" * 97 + ".json",
    ],
)
@pytest.mark.parametrize("manifest", [body(), b""], ids=["a manifest", "empty"])
def test_a_name_that_is_no_id_is_filed_with_a_suggestion(
    pipeline: PipelineFixture, name: str, manifest: bytes
) -> None:
    pipeline.submit("", manifest, key=f"inbox/{name}")
    pipeline.submit("good")
    report = pipeline.tick()
    (record,) = pipeline.rejected()
    assert report.rejected == 1
    assert record["key"] == f"inbox/{name}"
    assert record["error"]["code"] == "invalid_id"
    assert record["body"].encode() == manifest
    assert "inbox/" in record["error"]["hint"] or "Use" in record["error"]["hint"]
    assert pipeline.keys("inbox/") == []
    assert pipeline.result("good").status is Status.SUCCEEDED


def test_many_strangers_do_not_hold_up_the_jobs_behind_them(pipeline: PipelineFixture) -> None:
    for n in range(150):
        pipeline.submit("", key=f"inbox/BAD {n}.json")
    pipeline.submit("job-1")
    pipeline.tick()
    assert pipeline.result("job-1").status is Status.SUCCEEDED
    assert len(pipeline.keys("inbox/")) == 150 - 64
    pipeline.tick()
    pipeline.tick()
    assert pipeline.keys("inbox/") == []
    assert len(pipeline.rejected()) == 150


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2)
    ),
    max_leaves=5,
)
FIELDS = ["version", "model", "input", "tenant", "distinct_id", "metadata", "deadline", "consent"]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(
    st.binary(max_size=20)
    | st.dictionaries(st.sampled_from(FIELDS), JSON).map(
        lambda changes: json.dumps({**json.loads(body()), **changes}).encode()
    )
)
def test_any_bytes_under_a_good_name_end_in_a_result(
    make_pipeline: MakePipeline, poison: bytes
) -> None:
    pipeline = make_pipeline()
    pipeline.submit("poison", poison)
    pipeline.tick()
    assert pipeline.result("poison").status in (Status.SUCCEEDED, Status.REJECTED, Status.FAILED)
    assert pipeline.keys("inbox/") == pipeline.keys("leases/") == []
    pipeline.close()
