from datetime import timedelta

import pytest

from config.errors import BadManifest
from pipeline.contract.manifest import parse_manifest
from pipeline.contract.result import Result, Status
from pipeline.contract.spend_entry import SpendEntry
from pipeline.contract.tombstone import (
    MANIFEST,
    begun_tombstone,
    ended_tombstone,
    is_tombstone_size,
    may_be_tombstone,
    tombstone_body,
)
from tests.support.report_results import NOON, result


def begun(ended: Result | None) -> Result:
    return begun_tombstone(
        "one",
        ended,
        tenant="acme",
        nonce="n",
        now=NOON + timedelta(days=1),
        quiet_at=NOON + timedelta(days=1),
        left=("thumbs/b.webp", "inputs/a.png", "inputs/a.png"),
    )


def test_it_keeps_whose_job_it_was_when_it_ended_and_what_it_cost() -> None:
    before = result("one", platform="modal", batch="autumn")
    after = begun(before)
    assert (after.tenant, after.model) == (before.tenant, before.model)
    assert (after.finished_at, after.submitted_at) == (before.finished_at, before.submitted_at)
    assert SpendEntry.of(after) == SpendEntry.of(before)
    assert after.status is Status.FORGOTTEN


def test_it_keeps_nothing_that_was_made_or_said() -> None:
    before = result("one")
    after = begun(before.model_copy(update={"metadata": {"who": "Ann"}, "seed": 7}))
    assert (after.outputs, after.events, after.files, after.missing) == ((), (), (), ())
    assert (after.metadata, after.seed, after.metrics, after.sheet) == ({}, None, None, None)
    assert after.provenance is None or after.provenance.lora is None


def test_of_a_result_that_cannot_be_read_it_knows_the_tenant_alone() -> None:
    after = begun(None)
    assert (after.tenant, after.model, after.cost) == ("acme", None, None)
    assert after.finished_at == NOON + timedelta(days=1)


def test_what_is_left_is_named_until_it_has_ended() -> None:
    first = begun(result("one"))
    assert first.erasure is not None
    assert first.erasure.left == ("inputs/a.png", "thumbs/b.webp")
    last = ended_tombstone(first, NOON + timedelta(days=2))
    assert last.erasure is not None
    assert (last.erasure.left, last.erasure.ended_at) == ((), NOON + timedelta(days=2))


def test_a_listing_tells_it_by_its_size() -> None:
    body = tombstone_body(begun(result("one")))
    assert may_be_tombstone(len(body))
    assert Result.parse(body) == begun(result("one"))
    assert is_tombstone_size(len(MANIFEST))


def test_in_the_place_of_a_manifest_stands_none() -> None:
    with pytest.raises(BadManifest):
        parse_manifest(MANIFEST)
