from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from events import sender
from handlers.comfyui import process, session
from pipeline.engines import local_crew
from pipeline.store import conditional
from system.backoff import Backoff


def test_each_pause_is_twice_the_one_before_up_to_the_longest() -> None:
    backoff = Backoff(5, 60)
    assert [backoff.pause_s(number) for number in range(1, 8)] == [5, 10, 20, 40, 60, 60, 60]


def test_another_factor_grows_more_slowly() -> None:
    assert list(islice(Backoff(1, 5, 1.5).pauses(), 6)) == [1, 1.5, 2.25, 3.375, 5, 5]


def test_pauses_come_in_order_of_their_numbers() -> None:
    backoff = Backoff(0.005, 0.2)
    assert list(islice(backoff.pauses(), 9)) == [backoff.pause_s(number) for number in range(1, 10)]


def test_a_pause_after_a_great_many_is_a_number() -> None:
    assert Backoff(5, 300).pause_s(10_000) == 300
    assert Backoff(1, float("inf")).pause_s(31) == 2.0**30
    assert Backoff(1, float("inf")).pause_s(40) == 2.0**30


@given(st.integers(1, 60), st.floats(0, 1, exclude_max=True))
def test_jitter_is_full(number: int, jitter: float) -> None:
    backoff = Backoff(5, 300)
    assert backoff.jittered_s(number, jitter) == backoff.pause_s(number) * jitter


@pytest.mark.parametrize(
    ("backoff", "pauses"),
    [
        (sender.BACKOFF, [2, 4, 8, 16, 32, 60, 60]),
        (conditional.BACKOFF, [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5]),
        (local_crew.BACKOFF, [0.5, 1, 2, 4, 8, 16, 30]),
        (session._HISTORY_BACKOFF, [0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.2]),
        (process._READY_BACKOFF, [0.02, 0.03, 0.045, 0.0675, 0.10125, 0.151875, 0.2278125, 0.25]),
    ],
    ids=["sender", "store", "worker starts", "history", "ComfyUI's start"],
)
def test_the_pauses_of_the_product_are(backoff: Backoff, pauses: list[float]) -> None:
    assert list(islice(backoff.pauses(), len(pauses))) == pytest.approx(pauses)
