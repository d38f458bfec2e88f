import pytest
from pydantic import ValidationError

from events.outbox import StoredEvent
from pipeline.queue.spawn import MAX_PAYLOAD_BYTES, SpawnPayload, make_payload
from tests.pipeline.dispatcher.test_survey import lease
from tests.support.pipeline_fixture import NOON


def test_a_small_job_is_carried_whole() -> None:
    held = lease("a")
    payload = make_payload(held, "etag", "flux-dev", b"{}", NOON)
    assert (payload.lease, payload.manifest, payload.gpu) == (held, "{}", None)


def test_a_large_manifest_is_left_in_the_bucket() -> None:
    payload = make_payload(lease("a"), "etag", "flux-dev", b"x" * MAX_PAYLOAD_BYTES, NOON)
    assert payload.manifest is None
    assert payload.lease is not None


def test_the_gpu_is_told_even_where_the_lease_is_not_carried() -> None:
    event = StoredEvent(event="e", uuid="u", distinct_id="d", timestamp="t", properties={})
    heavy = lease("a").model_copy(update={"gpu": "H100", "events": (event,) * 100})
    payload = make_payload(heavy, "etag", "flux-dev", b"{}", NOON)
    assert payload.lease is None
    assert payload.gpu == "H100"


def test_a_reference_and_its_lease_name_the_same_gpu() -> None:
    payload = make_payload(
        lease("a").model_copy(update={"gpu": "H100"}), "etag", "flux-dev", b"{}", NOON
    )
    assert SpawnPayload.model_validate_json(payload.model_dump_json()) == payload
    with pytest.raises(ValidationError, match="another GPU"):
        SpawnPayload.model_validate({**payload.model_dump(), "gpu": "L40S"})
