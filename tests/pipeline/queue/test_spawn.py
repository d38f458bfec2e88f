import pytest
from pydantic import ValidationError

from events.stored_event import StoredEvent
from pipeline.queue.spawn import (
    MAX_MANIFEST_BYTES,
    MAX_PAYLOAD_BYTES,
    SpawnPayload,
    make_payload,
)
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


def test_a_manifest_is_carried_up_to_a_size_of_its_own() -> None:
    carried = make_payload(lease("a"), "etag", "flux-dev", b"x" * MAX_MANIFEST_BYTES, NOON)
    left = make_payload(lease("a"), "etag", "flux-dev", b"x" * (MAX_MANIFEST_BYTES + 1), NOON)
    assert carried.manifest == "x" * MAX_MANIFEST_BYTES
    assert left.manifest is None
    assert len(left.model_dump_json()) + MAX_MANIFEST_BYTES < MAX_PAYLOAD_BYTES, "it would fit"


def test_a_payload_is_as_large_as_the_platform_carries_and_no_larger() -> None:
    def of(more: int) -> SpawnPayload:
        held = lease("a").model_copy(update={"owner": "x" * more})
        return make_payload(held, "etag", "flux-dev", b"{}" + b" " * 100, NOON)

    room = MAX_PAYLOAD_BYTES - len(of(0).model_dump_json())
    assert len(of(room).model_dump_json()) == MAX_PAYLOAD_BYTES
    assert of(room).manifest is not None
    assert of(room + 1).manifest is None
    assert of(room + 100).lease is not None
    assert of(room + 101).lease is None


def test_the_gpu_is_told_even_where_the_lease_is_not_carried() -> None:
    event = StoredEvent(event="e", uuid="u", distinct_id="d", timestamp="t", properties={})
    heavy = lease("a").model_copy(update={"gpu": "H100", "events": (event,) * 100})
    payload = make_payload(heavy, "etag", "flux-dev", b"{}", NOON)
    assert payload.lease is None
    assert payload.gpu == "H100"


@pytest.mark.parametrize("gpu", [None, "H100"])
@pytest.mark.parametrize("other", [None, "H100", "L40S"])
def test_a_payload_and_its_lease_name_the_same_gpu(gpu: str | None, other: str | None) -> None:
    held = lease("a").model_copy(update={"gpu": gpu})
    payload = make_payload(held, "etag", "flux-dev", b"{}", NOON)
    fields = {**payload.model_dump(mode="json"), "gpu": other}
    if gpu == other:
        assert SpawnPayload.model_validate(fields) == payload
    else:
        with pytest.raises(ValidationError, match="another GPU"):
            SpawnPayload.model_validate(fields)
    without = SpawnPayload.model_validate({**fields, "lease": None})
    assert (without.gpu, without.lease) == (other, None)
