from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from events.sender import EVENTS
from pipeline.contract.keys import lease_key
from pipeline.contract.lease import Lease, Phase
from pipeline.dispatcher.replays import REPLAYS_PER_TICK, choose_replays, is_pending
from pipeline.queue.expiry import ListedLease
from tests.support.jobs import NOW, a_lease, entry

CALLBACK = "callback:a.example"


def owing(id: str, *, due_s: float | None = 0.0, **fields: Any) -> ListedLease:
    """Due so many seconds ago; None: taken over before, and listed when it was NOW."""
    due = None if due_s is None else NOW - timedelta(seconds=due_s)
    names = {"id": id, "entry": f"inbox/{id}.json", "phase": Phase.RETRY, "committed": True}
    return ListedLease(id, entry(lease_key(id)), a_lease(**{**names, "not_before": due, **fields}))


def rooms(**by_target: int) -> Callable[[str], int]:
    named = {EVENTS: by_target.get("events", 0), CALLBACK: by_target.get("callback", 0)}
    return lambda target: named.get(target, 1)


def chosen(due: list[ListedLease], room: Callable[[str], int]) -> list[str]:
    return [held.id for held in choose_replays(due, room)[0]]


def test_the_longest_due_come_first_and_a_tick_takes_only_so_many() -> None:
    due = [owing(f"job-{n:02}", due_s=n) for n in range(REPLAYS_PER_TICK + 5)]
    taken, left = choose_replays(due, rooms(events=1000))
    assert [held.id for held in taken] == [held.id for held in reversed(due)][:REPLAYS_PER_TICK]
    assert left == 5


def test_one_that_was_taken_over_before_stands_by_the_time_of_that() -> None:
    due = [owing("later", due_s=-1), owing("taken", due_s=None), owing("earlier", due_s=1)]
    assert chosen(due, rooms(events=9)) == ["earlier", "taken", "later"]


def test_what_could_not_be_sent_is_passed_over_and_is_not_left_for_the_next_tick() -> None:
    due = [owing(f"job-{n:02}") for n in range(1500)]
    assert choose_replays(due, rooms()) == ([], 0)


def test_a_target_that_is_worth_one_try_gets_one() -> None:
    due = [owing(f"job-{n}") for n in range(5)]
    taken, left = choose_replays(due, rooms(events=1))
    assert ([held.id for held in taken], left) == (["job-0"], 0)


def test_a_callback_does_not_wait_for_the_events_nor_they_for_it() -> None:
    both = owing("both", callback_host="a.example")
    told = owing("told", callback_host="a.example", callback_out=True)
    arrived = owing("arrived", callback_host="a.example", events_out=True)
    due = [both, told, arrived]
    assert chosen(due, rooms(callback=9)) == ["arrived", "both"]
    assert chosen(due, rooms(events=9)) == ["both", "told"]
    assert chosen(due, rooms(callback=1)) == ["arrived"]


def test_one_whose_target_is_unknown_is_taken_over_to_learn_it() -> None:
    assert chosen([owing("old", events_out=True)], rooms()) == ["old"]


@pytest.mark.parametrize(
    ("lease", "pending"),
    [
        (None, False),
        (a_lease(), False),
        (a_lease(phase=Phase.RETRY), False),
        (a_lease(phase=Phase.RETRY, committed=True), True),
        (a_lease(phase=Phase.SPAWNED, committed=True), True),
        (a_lease(phase=Phase.RETRY, committed=True, vacant=True), False),
    ],
)
def test_a_job_that_is_over_is_told_from_one_that_is_tried_again(
    lease: Lease | None, pending: bool
) -> None:
    assert is_pending(lease) is pending
