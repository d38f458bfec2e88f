from datetime import UTC, datetime, timedelta

import pytest

from pipeline.contract.lease import Phase
from pipeline.contract.stops import Stops
from pipeline.queue.retries import as_waiting, is_due, is_retrying, is_stopped
from tests.support.jobs import a_lease

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
RETRY = a_lease(
    id="a",
    entry="inbox/a.json",
    phase=Phase.RETRY,
    ttl_s=60,
    submitted_at=NOON,
    not_before=NOON + timedelta(seconds=60),
)


def test_a_retry_waits_by_the_age_of_its_manifest_for_its_own_route() -> None:
    waiting = as_waiting(RETRY, "e1")
    assert (waiting.tenant, waiting.model) == ("acme", "flux-dev")
    assert (waiting.entry.last_modified, waiting.entry.etag) == (NOON, "e1")


def test_one_whose_job_was_never_read_says_no_model() -> None:
    unread = as_waiting(RETRY.model_copy(update={"model": None}))
    assert (unread.model, unread.contents) == (None, None)


def test_one_that_uses_a_lora_says_so() -> None:
    [said] = [as_waiting(RETRY.model_copy(update={"lora": "loras/a.safetensors"})).contents]
    assert said is not None
    assert said.loras == ("loras/a.safetensors",)
    plain = as_waiting(RETRY).contents
    assert plain is not None
    assert plain.loras == ()


@pytest.mark.parametrize(
    ("changes", "retrying"),
    [
        ({}, True),
        ({"phase": Phase.RUNNING}, False),
        ({"committed": True}, False),
        ({"vacant": True}, False),
    ],
)
def test_only_what_somebody_waits_for_is_a_retry(
    changes: dict[str, object], retrying: bool
) -> None:
    assert is_retrying(RETRY.model_copy(update=changes)) is retrying


def test_a_stranger_s_object_is_none() -> None:
    assert not is_retrying(None)


def test_it_is_due_from_its_time_on() -> None:
    assert not is_due(RETRY, NOON + timedelta(seconds=59))
    assert is_due(RETRY, NOON + timedelta(seconds=60))
    assert is_due(RETRY.model_copy(update={"not_before": None}), NOON)


def test_one_is_stopped_by_its_tenant_or_its_kind() -> None:
    assert is_stopped(RETRY, Stops.of_keys(["stops/tenant.acme"]))
    assert is_stopped(RETRY, Stops.of_keys(["stops/kind.flux-dev"]))
    assert not is_stopped(RETRY, Stops.of_keys(["stops/tenant.zoo"]))
