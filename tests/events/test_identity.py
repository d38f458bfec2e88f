import pytest

from config.errors import InvalidField
from events.identity import check_distinct_id, distinct_id_for


@pytest.mark.parametrize("value", ["user_123", "acme", "a" * 200, "user@example.org", "Zoë", "00"])
def test_an_id_of_somebody_is_taken_as_it_is(value: str) -> None:
    assert check_distinct_id(value) == value


@pytest.mark.parametrize(
    "value",
    [
        *("backend", "system", "user", "anonymous", "guest", "none", "null", "id", "0"),
        *("undefined", "NaN", "true", "False", "distinct_id", "distinctId", "email"),
        *("not_authenticated", "[object Object]", "None", "'null'", '"guest"', " id "),
        *("", " ", "\t", "''", "a" * 201, "a\x00b", "a\nb", "\ud83d"),
    ],
)
def test_an_id_that_posthog_drops_events_for_is_refused(value: str) -> None:
    with pytest.raises(InvalidField) as caught:
        check_distinct_id(value)
    assert caught.value.field == "distinct_id"
    assert caught.value.hint
    assert len(str(caught.value.value)) <= 201


@pytest.mark.parametrize(
    ("wanted", "tenant", "carried"),
    [
        ("user_123", "acme", "user_123"),
        (None, "acme", "acme"),
        ("anonymous", "acme", "acme"),
        (None, "system", "tenant:system"),
        (None, None, "job:j1"),
        ("null", None, "job:j1"),
        (None, "x" * 300, "job:j1"),
    ],
)
def test_an_event_always_finds_an_id_that_posthog_takes(
    wanted: str | None, tenant: str | None, carried: str
) -> None:
    assert distinct_id_for(wanted, tenant, "job:j1") == carried
