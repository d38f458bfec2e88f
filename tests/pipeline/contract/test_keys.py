import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.errors import InvalidId
from pipeline.contract.keys import (
    ID_PATTERN,
    InboxName,
    check_id,
    inbox_key,
    is_name,
    lease_id,
    lease_key,
    parse_inbox_key,
    rejected_key,
    suggest_id,
)

NAMES = st.from_regex(r"[a-z0-9][a-z0-9_-]{0,62}", fullmatch=True)
IDS = st.from_regex(r"[a-z0-9][a-z0-9_-]{0,95}", fullmatch=True)


@pytest.mark.parametrize(
    "id", ["a", "0", "job-1", "0190f5fe-7c00-7a00-8000-0123456789ab", "a" * 96]
)
def test_an_id_that_fits_is_taken(id: str) -> None:
    assert check_id(id) == id


@pytest.mark.parametrize(
    "id",
    ["", "A", "-a", "_a", "a.b", "a/b", "a b", "é", "a" * 97, "a\n", "..", "\ud800", "a\0"],
)
def test_an_id_that_does_not_fit_gets_the_pattern_and_a_suggestion(id: str) -> None:
    with pytest.raises(InvalidId) as caught:
        check_id(id)
    assert ID_PATTERN in caught.value.message
    suggestion = re.search(r"Use '([^']*)'", caught.value.hint or "")
    assert suggestion is not None
    assert check_id(suggestion[1])


@given(st.text())
def test_every_suggestion_is_an_id_and_tells_originals_apart(text: str) -> None:
    assert check_id(suggest_id(text))
    assert suggest_id(text) != suggest_id(text + "!")


def test_a_suggestion_keeps_what_can_be_kept() -> None:
    assert suggest_id("My Job.json").startswith("my-job-json-")


@given(st.integers(0, 9), NAMES, NAMES, IDS)
def test_a_key_says_what_was_put_into_it(priority: int, tenant: str, model: str, id: str) -> None:
    key = inbox_key(id, priority=priority, tenant=tenant, model=model)
    name = parse_inbox_key(key)
    assert name == InboxName(priority, tenant, model, id)
    assert name.key == key


@given(IDS)
def test_a_bare_key_is_of_priority_five(id: str) -> None:
    name = parse_inbox_key(f"inbox/{id}.json")
    assert name == InboxName(5, None, None, id)
    assert name.key == f"inbox/{id}.json"


def test_the_listing_brings_higher_priorities_first() -> None:
    keys = [inbox_key("x", priority=priority, tenant="a", model="m") for priority in range(10)]
    assert sorted(keys) == keys[::-1]


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".json",
        "a",
        "a.txt",
        "a.json.json",
        "a.b.json",
        "4.a.m.json",
        "4.acme.flux.x.y.json",
        "10.acme.flux.a.json",
        "x.acme.flux.a.json",
        "٣.acme.flux.a.json",
        "4.Acme.flux.a.json",
        "4..flux.a.json",
        "4.acme.flux.A.json",
        "4.acme.flux..json",
        "folder/a.json",
        "a\n.json",
    ],
)
def test_a_key_that_names_no_job_is_refused_with_one_that_does(name: str) -> None:
    with pytest.raises(InvalidId) as caught:
        parse_inbox_key(f"inbox/{name}")
    assert caught.value.hint
    proposed = re.search(r"inbox/\S+\.json", caught.value.hint)
    if proposed:
        parse_inbox_key(proposed[0])


@given(IDS)
def test_a_lease_key_names_its_job(id: str) -> None:
    assert lease_id(lease_key(id)) == id


@pytest.mark.parametrize(
    "key", ["leases/", "leases/A.json", "leases/a.txt", "leases/a/b.json", "x"]
)
def test_what_is_no_lease_names_no_job(key: str) -> None:
    assert lease_id(key) is None


@given(st.text(), st.text(min_size=64, max_size=64, alphabet="0123456789abcdef"))
def test_a_rejected_key_is_safe_whatever_was_rejected(name: str, digest: str) -> None:
    key = rejected_key(f"inbox/{name}", digest)
    assert re.fullmatch(r"rejected/[A-Za-z0-9_-]{1,96}\.[0-9a-f]{12}\.json", key)


def test_names_that_a_key_can_hold() -> None:
    assert [is_name(name) for name in ("acme", "a-1_b", "", "a.b", "A", "a\n", "a" * 64)] == [
        True,
        True,
        False,
        False,
        False,
        False,
        False,
    ]
