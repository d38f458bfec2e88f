import json

import pytest

from config.errors import StoreDenied, StoreUnavailable
from pipeline.contract.keys import MAX_BYTES
from pipeline.store.base import Busy
from tests.pipeline.conftest import MakePipeline
from tests.support.manifests import body
from tests.support.pipeline_fixture import PipelineFixture


def test_the_entry_is_kept_with_its_reason_and_its_event(pipeline: PipelineFixture) -> None:
    pipeline.submit("", body("a cat", tenant="acme"), key="inbox/My Job.json")
    pipeline.tick()
    assert len(pipeline.keys("rejected/My-Job.")) == 1
    (record,) = pipeline.rejected()
    assert record["key"] == "inbox/My Job.json"
    assert record["error"]["hint"].startswith("Use 'my-job-")
    assert record["error"]["value"] == "My Job"
    (event,) = record["events"]
    assert event["event"] == "modal_manifest_rejected"
    assert event["properties"]["error_code"] == "invalid_id"
    assert pipeline.event_names() == ["modal_manifest_rejected"]


def test_the_same_refusal_is_written_once_and_another_body_beside_it(
    pipeline: PipelineFixture,
) -> None:
    for manifest in (b"1", b"1", b"2"):
        pipeline.submit("", manifest, key="inbox/My Job.json")
        pipeline.tick()
    assert len(pipeline.keys("rejected/")) == 2
    assert pipeline.event_names() == ["modal_manifest_rejected"] * 2


def test_what_is_no_text_is_kept_as_far_as_it_goes(pipeline: PipelineFixture) -> None:
    pipeline.submit("", b"\xff\x00abc" + b"x" * MAX_BYTES, key="inbox/My Job.json")
    pipeline.tick()
    (record,) = pipeline.rejected()
    assert record["body"].startswith("\\xff\x00abc")
    assert len(record["body"]) <= MAX_BYTES + 3


def test_an_entry_is_removed_only_after_it_was_filed(pipeline: PipelineFixture) -> None:
    pipeline.submit("", key="inbox/My Job.json")
    pipeline.raw.fail = lambda call, key: Busy("503") if key.startswith("rejected/") else None
    with pytest.raises(StoreUnavailable):
        pipeline.tick()
    assert pipeline.keys("inbox/") == ["inbox/My Job.json"]
    pipeline.raw.fail = lambda call, key: None
    pipeline.tick()
    assert pipeline.keys("inbox/") == []
    assert len(pipeline.rejected()) == 1


def test_an_entry_that_the_store_does_not_give_out_holds_up_nothing(
    pipeline: PipelineFixture,
) -> None:
    for name in ("A", "B", "C"):
        pipeline.submit("", key=f"inbox/{name}.json")
    pipeline.raw.fail = lambda call, key: (
        StoreDenied("400") if (call, key) == ("GET", "inbox/A.json") else None
    )
    assert pipeline.tick().rejected == 2
    assert pipeline.keys("inbox/") == ["inbox/A.json"]


@pytest.mark.parametrize("conditional_delete", [True, False])
@pytest.mark.parametrize("key", ["inbox/used.json", "inbox/My Job.json"])
def test_a_body_put_while_another_is_filed_is_filed_itself_where_delete_is_conditional(
    make_pipeline: MakePipeline, key: str, conditional_delete: bool
) -> None:
    pipeline = make_pipeline(conditional_delete=conditional_delete)
    pipeline.submit("used")
    pipeline.tick()
    late = [body("a third")]

    def put_meanwhile(call: str, called: str) -> None:
        if call == "PUT" and called.startswith("rejected/") and late:
            pipeline.submit("", late.pop(), key=key)

    pipeline.raw.fail = put_meanwhile
    pipeline.submit("", body("a second"), key=key)
    for _ in range(3):
        pipeline.tick()
    filed = [json.loads(record["body"])["input"]["prompt"] for record in pipeline.rejected()]
    assert sorted(filed) == (["a second", "a third"] if conditional_delete else ["a second"])
    assert pipeline.keys("inbox/") == []
    assert pipeline.keys("leases/") == []
