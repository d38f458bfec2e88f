"""What headers and query ask for."""

import pytest

from pipeline.api.request_errors import BadRequest
from pipeline.api.request_terms import (
    Shape,
    job_id,
    require_known,
    response_preference,
    waiting,
    whole_number,
)


@pytest.mark.parametrize(
    ("prefer", "seconds"),
    [
        (None, None),
        ("", None),
        ("wait=0", 0),
        ("wait=30", 30),
        ("WAIT = 30", 30),
        ('wait="30"', 30),
        ("respond-async, wait=30", 30),
        ("wait=30; strict", 30),
        ("wait=999999999", 120),
        ("wait=-1", None),
        ("wait=3.5", None),
        ("wait", None),
        ("await=30", None),
        ("wait=" + "9" * 400, None),
    ],
)
def test_the_wait_of_prefer_is_at_most_two_minutes_and_nonsense_is_no_error(
    prefer: str | None, seconds: int | None
) -> None:
    assert waiting(prefer) == seconds


@pytest.mark.parametrize(
    ("accept", "prefer", "old", "shape"),
    [
        ("*/*", None, True, Shape.IMAGE),
        (None, None, True, Shape.IMAGE),
        ("*/*", None, False, Shape.JOB),
        ("*/*", "wait=5", True, Shape.JOB),
        ("image/png", "wait=5", True, Shape.IMAGE),
        ("image/*", None, False, Shape.IMAGE),
        ("image/avif, image/webp;q=0.8", None, False, Shape.IMAGE),
        ("application/json", None, True, Shape.JOB),
        ("application/json, text/plain, */*", None, True, Shape.JOB),
        ("application/json, image/*", None, True, Shape.JOB),
        ("image/png;q=0, */*", None, True, Shape.IMAGE),
        ("image/png;q=0, application/json", None, True, Shape.JOB),
        ("text/html", None, True, Shape.JOB),
        ("not a range", None, True, Shape.IMAGE),
    ],
)
def test_who_gets_a_picture(
    accept: str | None, prefer: str | None, old: bool, shape: Shape
) -> None:
    preference = response_preference(accept, prefer, old_path=old)

    assert preference.shape is shape
    assert preference.prefers is (prefer is not None)


def test_a_key_makes_an_id_that_is_its_tenants_own() -> None:
    ids = {
        job_id("acme", "k"),
        job_id("acme", "K"),
        job_id("zenith", "k"),
        job_id("acme", "k" * 255),
    }

    assert len(ids) == 4
    assert all(len(id) == 32 and int(id, 16) >= 0 for id in ids)
    assert job_id("acme", "k") == job_id("acme", "k")


def test_the_boundary_between_tenant_and_key_cannot_be_moved() -> None:
    assert job_id("a", "bc") != job_id("ab", "c")


@pytest.mark.parametrize("key", ["", " ", " k", "k ", "k" * 256, "ключ", "a\tb", "a\x7fb"])
def test_what_is_no_key_is_refused(key: str) -> None:
    with pytest.raises(BadRequest, match="Idempotency-Key"):
        job_id("acme", key)


def test_an_unknown_query_parameter_names_the_nearest() -> None:
    require_known(["wait"], ["wait", "left"])

    with pytest.raises(BadRequest) as unknown:
        require_known(["wiat"], ["wait", "left"])
    assert unknown.value.hint == "Did you mean 'wait'?"
    with pytest.raises(BadRequest) as none:
        require_known(["page"], [])
    assert none.value.hint == "This path takes none."
    with pytest.raises(BadRequest, match="twice"):
        require_known(["wait", "wait"], ["wait"])


def test_numbers_are_whole_and_in_their_range() -> None:
    assert whole_number("wait", None, 0, 120, 7) == 7
    assert whole_number("wait", "120", 0, 120, 7) == 120
    for wrong in ("121", "-1", "1.0", "", "x", "٣", "9" * 30):
        with pytest.raises(BadRequest, match="from 0 to 120"):
            whole_number("wait", wrong, 0, 120, 7)
