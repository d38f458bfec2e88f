from events.breaker import Breaker
from events.sender import BACKOFF


def pauses_of(failures: int, retry_after_s: float | None = None) -> list[float]:
    breaker, found = Breaker(), []
    for _ in range(failures):
        breaker = breaker.failed(100.0, BACKOFF, retry_after_s)
        found.append(breaker.paused_until - 100.0)
    return found


def test_each_failure_in_a_row_doubles_the_pause_up_to_the_longest() -> None:
    assert pauses_of(7) == [2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0]
    assert pauses_of(5000)[-1] == 60.0


def test_the_servers_own_wish_lengthens_a_pause_but_not_beyond_the_longest() -> None:
    assert pauses_of(1, retry_after_s=7.0) == [7.0]
    assert pauses_of(1, retry_after_s=1.0) == [2.0]
    assert pauses_of(1, retry_after_s=86400.0) == [60.0]


def test_one_try_is_allowed_when_the_pause_is_over() -> None:
    breaker = Breaker().failed(100.0, BACKOFF, None)
    assert Breaker().allows(-1e9)
    assert not breaker.allows(101.9)
    assert breaker.allows(102.0)
