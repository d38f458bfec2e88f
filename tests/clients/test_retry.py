import pytest
from hypothesis import given
from hypothesis import strategies as st

from ryla_client import Retries
from ryla_client._retry import retry_after

SECONDS = st.floats(0, 1000)


@given(tries=st.integers(1, 5000), spent=SECONDS, asked=st.none() | SECONDS, jitter=st.floats(0, 1))
def test_no_try_begins_after_the_time_is_over(
    tries: int, spent: float, asked: float | None, jitter: float
) -> None:
    retries = Retries(elapsed=100)
    pause = retries.pause(tries, spent, asked, jitter)

    if pause is None:
        assert spent + max(retries.longest_pause, asked or 0) >= 100
    else:
        assert spent + pause < 100
        assert pause >= (asked or 0)


def test_pauses_double_up_to_the_longest() -> None:
    retries = Retries(first_pause=0.5, longest_pause=3)

    assert [retries.pause(tries, 0, None, 1.0) for tries in range(1, 6)] == [0.5, 1, 2, 3, 3]
    assert retries.pause(3, 0, None, 0.5) == 1


def test_what_the_server_asks_for_is_the_least() -> None:
    assert Retries().pause(1, 0, 20, 0.0) == 20
    assert Retries(elapsed=10).pause(1, 0, 20, 0.0) is None


def test_no_time_means_a_single_try() -> None:
    assert Retries(elapsed=0).pause(1, 0, None, 0.0) is None


@pytest.mark.parametrize("wrong", [-1, float("nan"), float("inf")])
def test_times_are_numbers_of_seconds(wrong: float) -> None:
    with pytest.raises(ValueError, match="elapsed"):
        Retries(elapsed=wrong)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7),
        ({"retry-after": " 0 "}, 0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-3"}, None),
        ({"retry-after": "Sun, 01 Mar 2026 12:00:30 GMT"}, None),
        (
            {
                "retry-after": "Sun, 01 Mar 2026 12:00:30 GMT",
                "date": "Sun, 01 Mar 2026 12:00:00 GMT",
            },
            30,
        ),
        (
            {
                "retry-after": "Sun, 01 Mar 2026 11:00:00 GMT",
                "date": "Sun, 01 Mar 2026 12:00:00 GMT",
            },
            0,
        ),
    ],
)
def test_retry_after_is_seconds_or_a_date_by_the_server_s_own_clock(
    headers: dict[str, str], seconds: float | None
) -> None:
    assert retry_after(headers) == seconds
