import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

from pipeline.store.base import Always, IfAbsent, IfMatch, PreconditionFailed
from pipeline.store.memory import MemoryStore

NOON = datetime(2026, 3, 1, 12, 0, 0, 999_000, tzinfo=UTC)


def race(racers: int, run: Callable[[int], object]) -> list[int]:
    """Numbers of those whose condition held."""
    barrier = threading.Barrier(racers)

    def go(racer: int) -> bool:
        barrier.wait()
        try:
            run(racer)
        except PreconditionFailed:
            return False
        return True

    with ThreadPoolExecutor(racers) as pool:
        return [n for n, won in enumerate(pool.map(go, range(racers))) if won]


def test_of_racing_creators_one_wins() -> None:
    store = MemoryStore()
    for turn in range(50):
        (winner,) = race(8, lambda n, k=f"{turn}": store.put(k, f"{n}".encode(), IfAbsent()))  # type: ignore[misc]
        stored = store.get(f"{turn}")
        assert stored is not None
        assert stored.body == f"{winner}".encode()


def test_a_counter_under_if_match_loses_no_count() -> None:
    store = MemoryStore()
    store.put("n", b"0", Always())

    def count_up(_: int) -> None:
        done = 0
        while done < 25:
            stored = store.get("n")
            assert stored is not None
            try:
                store.put("n", f"{int(stored.body) + 1}".encode(), IfMatch(stored.etag))
            except PreconditionFailed:
                continue
            done += 1

    race(8, count_up)
    stored = store.get("n")
    assert stored is not None
    assert stored.body == b"200"


def test_its_clock_is_the_one_it_was_given_in_whole_seconds() -> None:
    now = NOON
    store = MemoryStore(lambda: now)
    written = store.put("a", b"", Always())
    now += timedelta(seconds=90)
    page = store.list("")
    assert written.date == NOON.replace(microsecond=0)
    assert page.entries[0].last_modified == written.date
    assert page.date - page.entries[0].last_modified == timedelta(seconds=90)


def test_what_was_read_does_not_change_with_later_writes() -> None:
    store = MemoryStore()
    store.put("a", b"1", Always())
    page, stored = store.list(""), store.get("a")
    store.put("a", b"22", Always())
    store.put("b", b"", Always())
    assert stored is not None
    assert stored.body == b"1"
    assert [(entry.key, entry.size) for entry in page.entries] == [("a", 1)]
