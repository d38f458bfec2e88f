import pytest

from config.errors import StoreDenied, StoreUnavailable
from pipeline.contract.keys import MAX_BYTES
from pipeline.store.base import Busy
from tests.support.manifests import body
from tests.support.yard import Yard


def test_the_entry_is_kept_with_its_reason_and_its_event(yard: Yard) -> None:
    yard.submit("", body("a cat", tenant="acme"), key="inbox/My Job.json")
    yard.tick()
    assert len(yard.keys("rejected/My-Job.")) == 1
    (record,) = yard.rejected()
    assert record["key"] == "inbox/My Job.json"
    assert record["error"]["hint"].startswith("Use 'my-job-")
    assert record["error"]["value"] == "My Job"
    (event,) = record["events"]
    assert event["event"] == "modal_manifest_rejected"
    assert event["properties"]["error_code"] == "invalid_id"
    assert yard.event_names() == ["modal_manifest_rejected"]


def test_the_same_refusal_is_written_once_and_another_body_beside_it(yard: Yard) -> None:
    for manifest in (b"1", b"1", b"2"):
        yard.submit("", manifest, key="inbox/My Job.json")
        yard.tick()
    assert len(yard.keys("rejected/")) == 2
    assert yard.event_names() == ["modal_manifest_rejected"] * 2


def test_what_is_no_text_is_kept_as_far_as_it_goes(yard: Yard) -> None:
    yard.submit("", b"\xff\x00abc" + b"x" * MAX_BYTES, key="inbox/My Job.json")
    yard.tick()
    (record,) = yard.rejected()
    assert record["body"].startswith("\\xff\x00abc")
    assert len(record["body"]) <= MAX_BYTES + 3


def test_an_entry_is_removed_only_after_it_was_filed(yard: Yard) -> None:
    yard.submit("", key="inbox/My Job.json")
    yard.raw.fail = lambda call, key: Busy("503") if key.startswith("rejected/") else None
    with pytest.raises(StoreUnavailable):
        yard.tick()
    assert yard.keys("inbox/") == ["inbox/My Job.json"]
    yard.raw.fail = lambda call, key: None
    yard.tick()
    assert yard.keys("inbox/") == []
    assert len(yard.rejected()) == 1


def test_an_entry_that_the_store_does_not_give_out_holds_up_nothing(yard: Yard) -> None:
    for name in ("A", "B", "C"):
        yard.submit("", key=f"inbox/{name}.json")
    yard.raw.fail = lambda call, key: (
        StoreDenied("400") if (call, key) == ("GET", "inbox/A.json") else None
    )
    assert yard.tick().rejected == 2
    assert yard.keys("inbox/") == ["inbox/A.json"]
