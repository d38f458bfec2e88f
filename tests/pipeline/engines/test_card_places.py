from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from threading import Thread

import pytest

from pipeline.engines.card_places import CardPlaces, Key, Taken, Wish, free_card, wish
from pipeline.engines.machine import Card, Machine, ServingCard
from tests.support.stack import wait_until

TURN_S = 300.0
SMALL = ServingCard(Card("0", 20), {"portrait": 14})
LARGE = ServingCard(Card("1", 80), {"flux": 60, "portrait": 14, "sketch": 25})
MIXED = Machine((SMALL, LARGE))
ONE = Machine((LARGE,))
WORN, FLUX, PORTRAIT, SKETCH = ("portrait", 9), ("flux", 0), ("portrait", 0), ("sketch", 0)


def place(card: int = 0, share: int = 14, since: float = 0.0, *, idle: bool = False) -> Taken:
    return Taken(card, share, since, idle)


def test_a_small_route_takes_the_small_gpu_first_and_then_the_large_one() -> None:
    assert free_card("portrait", MIXED, {}) == 0
    assert free_card("portrait", MIXED, {PORTRAIT: place(0)}) == 1
    both = {PORTRAIT: place(0), ("portrait", 1): place(1)}
    assert free_card("portrait", MIXED, both) is None, "one worker a GPU"


def test_a_large_route_takes_the_large_gpu_alone() -> None:
    assert free_card("flux", MIXED, {}) == 1
    assert free_card("flux", MIXED, {SKETCH: place(1, 25)}) is None
    assert free_card("sketch", MIXED, {}, reserved={1}) is None


def test_workers_are_spread_over_equal_gpus() -> None:
    machine = Machine((LARGE, LARGE))
    assert free_card("sketch", machine, {PORTRAIT: place(0)}) == 1
    assert free_card("sketch", machine, {PORTRAIT: place(0), SKETCH: place(1, 25)}) == 0


def test_where_the_memory_is_unknown_there_is_always_room() -> None:
    unknown = Machine((ServingCard(Card("0"), {"flux": None, "sketch": None}),), workers=2)
    assert free_card("flux", unknown, {SKETCH: Taken(0, None, 0.0)}) == 0


@pytest.mark.parametrize(
    ("taken", "leaving"),
    [
        ({SKETCH: place(0, 25, idle=True)}, {SKETCH}),
        ({SKETCH: place(0, 25)}, set()),
        ({SKETCH: place(0, 25, -TURN_S)}, {SKETCH}),
        ({SKETCH: place(0, 25, idle=True), PORTRAIT: place(0, 14)}, {SKETCH}),
        ({SKETCH: place(0, 25), PORTRAIT: place(0, 14, idle=True)}, {PORTRAIT}),
    ],
)
def test_idle_workers_leave_at_once_and_others_after_their_turn(
    taken: Mapping[Key, Taken], leaving: set[Key]
) -> None:
    found = wish("flux", ONE, taken, 0.0, TURN_S)
    assert found is not None
    assert found.leaving == leaving


def test_it_comes_where_the_fewest_are_in_the_way() -> None:
    machine = Machine((LARGE, LARGE))
    taken = {
        SKETCH: place(0, 25),
        PORTRAIT: place(1, 14),
        WORN: place(0, 14),
        ("sketch", 1): place(1, 25, idle=True),
    }
    found = wish("flux", machine, taken, 0.0, TURN_S)
    assert found is not None
    assert found == Wish(1, frozenset({("sketch", 1)}))
    assert wish("flux", Machine((SMALL,)), {}, 0.0, TURN_S) is None


@contextmanager
def waiting(places: CardPlaces, *keys: Key) -> Iterator[dict[Key, str]]:
    """Threads that wait for a place; where each has come."""
    came: dict[Key, str] = {}
    ended = False

    def wait(key: Key) -> None:
        card = places.enter(key, lambda: not ended)
        if card is not None:
            came[key] = card.card.device

    threads = []
    for number, key in enumerate(keys, 1):
        threads.append(Thread(target=wait, args=(key,)))
        threads[-1].start()
        assert wait_until(lambda: len(places._queue) + len(came) >= number, 30)  # noqa: B023
    try:
        yield came
    finally:
        ended = True
        with places.changed:
            places.changed.notify_all()
        for thread in threads:
            thread.join(30)


def must_leave(places: CardPlaces, key: Key) -> bool:
    with places.changed:
        return places.must_leave(key)


def set_idle(places: CardPlaces, key: Key, *, idle: bool = True) -> None:
    with places.changed:
        places.set_idle(key, idle=idle)


def test_a_route_without_a_worker_comes_when_the_idle_one_has_left() -> None:
    places = CardPlaces(ONE, TURN_S, monotonic=lambda: 0.0)
    assert places.enter(SKETCH, lambda: True) is LARGE
    set_idle(places, SKETCH)
    assert not must_leave(places, SKETCH), "nobody waits"
    with waiting(places, FLUX) as came:
        assert must_leave(places, SKETCH)
        places.leave(SKETCH)
        assert wait_until(lambda: came == {FLUX: "1"}, 30)


def test_nobody_new_takes_the_gpu_that_a_large_route_waits_for() -> None:
    """Else small ones, one after the other, would keep it waiting without end."""
    now = 0.0
    narrow = Machine((ServingCard(Card("1", 70), LARGE.shares),))
    places = CardPlaces(narrow, TURN_S, monotonic=lambda: now)
    places.enter(SKETCH, lambda: True)
    with waiting(places, FLUX, PORTRAIT) as came:
        assert not must_leave(places, SKETCH), "it has its turn"
        now = TURN_S
        assert must_leave(places, SKETCH)
        assert not came
        places.leave(SKETCH)
        assert wait_until(lambda: came == {FLUX: "1"}, 30)
        assert not must_leave(places, FLUX), "its turn has begun"
        places.leave(FLUX)
        assert wait_until(lambda: PORTRAIT in came, 30)


def test_who_waits_longer_comes_first_whichever_thread_wakes_first() -> None:
    places = CardPlaces(Machine((ServingCard(Card("1", 70), LARGE.shares),)), TURN_S)
    places._queue += [FLUX, PORTRAIT]
    assert places._card_for(PORTRAIT) is None
    assert places._card_for(FLUX) == 0


def test_a_route_that_has_a_worker_sends_nobody_away() -> None:
    places = CardPlaces(Machine((LARGE, LARGE)), TURN_S)
    places.enter(FLUX, lambda: True)
    places.enter(SKETCH, lambda: True)
    set_idle(places, SKETCH)
    with waiting(places, ("flux", 1)) as came:
        assert not must_leave(places, SKETCH)
    assert not came


def test_who_is_not_wanted_any_more_waits_no_longer() -> None:
    places = CardPlaces(ONE, TURN_S)
    places.enter(FLUX, lambda: True)
    assert places.enter(SKETCH, lambda: False) is None
    assert not places._queue
