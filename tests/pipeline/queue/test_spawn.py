import pytest
from pydantic import ValidationError

from events.outbox import StoredEvent
from pipeline.queue.spawn import MAX_REF_BYTES, Ref, make_ref
from tests.pipeline.dispatcher.test_survey import lease
from tests.support.yard import NOON


def test_a_small_job_is_carried_whole() -> None:
    held = lease("a")
    ref = make_ref(held, "etag", "flux-dev", b"{}", NOON)
    assert (ref.lease, ref.manifest, ref.gpu) == (held, "{}", None)


def test_a_large_manifest_is_left_in_the_bucket() -> None:
    ref = make_ref(lease("a"), "etag", "flux-dev", b"x" * MAX_REF_BYTES, NOON)
    assert ref.manifest is None
    assert ref.lease is not None


def test_the_gpu_is_told_even_where_the_lease_is_not_carried() -> None:
    event = StoredEvent(event="e", uuid="u", distinct_id="d", timestamp="t", properties={})
    heavy = lease("a").model_copy(update={"gpu": "H100", "events": (event,) * 100})
    ref = make_ref(heavy, "etag", "flux-dev", b"{}", NOON)
    assert ref.lease is None
    assert ref.gpu == "H100"


def test_a_reference_and_its_lease_name_the_same_gpu() -> None:
    ref = make_ref(lease("a").model_copy(update={"gpu": "H100"}), "etag", "flux-dev", b"{}", NOON)
    assert Ref.model_validate_json(ref.model_dump_json()) == ref
    with pytest.raises(ValidationError, match="another GPU"):
        Ref.model_validate({**ref.model_dump(), "gpu": "L40S"})
