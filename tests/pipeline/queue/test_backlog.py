import itertools
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.contract.keys import INBOX, InboxName
from pipeline.queue import backlog as module
from pipeline.queue.admission import Contents, ServiceOrder, Slots, Waiting, admit
from pipeline.queue.backlog import BODIES, SEEKS, SWEEP_TICKS, Backlog, Scan
from pipeline.store.base import Entry, Page
from tests.support.jobs import NOW, entry
from tests.support.order_simulation import OrderSimulation

ROUTES: dict[str | None, str] = {"flux": "Flux", "schnell": "Flux", "face": "Face"}
ORDER = ServiceOrder(NOW, 300, ROUTES.get)


def scan(
    backlog: Backlog,
    *,
    held: frozenset[str] = frozenset(),
    most_pages: int = 50,
    draw: Callable[[], float] = lambda: 0.5,
    flux: int = 0,
    face: int = 0,
) -> Scan:
    slots = Slots({"Flux": flux, "Face": face}, ROUTES.get)
    return Scan(backlog, ORDER, slots, held, most_pages, draw)


def listing(*keys: str) -> list[Entry]:
    return [entry(INBOX + key) for key in sorted(keys)]


def pages(entries: Sequence[Entry], size: int, at: Scan) -> list[list[str]]:
    """What a tick lists of these, a page of this size at a time."""
    after: str | None = at.begin()
    taken: list[list[str]] = []
    while after is not None:
        rest = [each for each in entries if each.key > after]
        taken.append([each.key.removeprefix(INBOX) for each in rest[:size]])
        after = at.take(Page(rest[:size], len(rest) > size, NOW))
        assert len(taken) <= 60, "it lists without end"
    return taken


def names(jobs: Sequence[Waiting]) -> list[str]:
    return [job.name.id for job in jobs]


def begun() -> Backlog:
    """One of a process that has found its place to begin."""
    return Backlog(position="")


FIVE = listing(*(f"4.acme.flux.{id}.json" for id in "abcde"))


def ids(tick: list[list[str]]) -> list[str]:
    return ["".join(key.split(".")[-2] for key in page) for page in tick]


# What a tick lists


def test_all_that_a_page_holds_is_a_candidate() -> None:
    at = scan(Backlog())
    assert ids(pages(FIVE, 5, at)) == ["abcde"]
    assert names(at.waiting) == [*"abcde"]
    assert not at.more


def test_behind_the_head_a_tick_goes_on_after_the_last_key_that_was_listed() -> None:
    backlog = begun()
    ticks = [ids(pages(FIVE, 1, scan(backlog))) for _ in range(6)]
    assert ticks == [["a", "b"], ["a", "c"], ["a", "d"], ["a", "e"], ["a", "b"], ["a", "c"]]
    at = scan(backlog)
    pages(FIVE, 1, at)
    assert at.more
    assert names(at.waiting) == [*"abcde"]


def test_a_head_that_grew_past_the_place_is_where_the_sweep_goes_on() -> None:
    backlog = begun()
    pages(FIVE, 1, scan(backlog))
    assert ids(pages(FIVE, 3, scan(backlog))) == ["abc", "de"]


def test_what_shrank_to_a_page_is_listed_as_a_page() -> None:
    backlog = begun()
    pages(FIVE, 1, scan(backlog))
    at = scan(backlog)
    assert ids(pages(FIVE[:1], 1, at)) == ["a"]
    assert names(at.waiting) == ["a"]
    assert not at.more
    assert ids(pages(FIVE, 1, scan(backlog))) == ["a", "b"]


def test_a_single_page_a_tick_goes_round_the_whole_inbox() -> None:
    backlog = Backlog()
    first = scan(Backlog(), most_pages=1)
    pages(FIVE, 2, first)
    assert first.more
    ticks = [ids(pages(FIVE, 2, scan(backlog, most_pages=1))) for _ in range(5)]
    assert ticks == [["ab"], ["cd"], ["e"], ["ab"], ["cd"]]
    at = scan(backlog, most_pages=1)
    pages(FIVE, 2, at)
    assert at.more


def test_a_long_sweep_takes_more_pages_a_tick() -> None:
    many = listing(*(f"4.acme.flux.{n:03}.json" for n in range(201)))
    backlog = begun()
    counts = [len(pages(many, 1, scan(backlog))) - 1 for _ in range(60)]
    assert counts[:12] == [1] * 10 + [2] * 2
    assert backlog.last_sweep == 200
    assert max(counts) == 1 + 200 // SWEEP_TICKS
    bounded = [len(pages(many, 1, scan(backlog, most_pages=4))) for _ in range(5)]
    assert bounded == [4] * 5


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 40), st.integers(1, 7), st.integers(1, 6), st.floats(0, 1), st.randoms())
def test_every_entry_is_listed_again_and_again_within_the_bound_that_is_stated(
    count: int, size: int, most_pages: int, draw: float, random: Any
) -> None:
    names = [f"{random.randrange(10)}.t{random.randrange(3)}.flux.{n}" for n in range(count)]
    entries = listing(*(f"{name}.json" for name in names))
    length = -(-count // size)
    backlog = Backlog()

    def look(most: int) -> set[str]:
        taken = pages(entries, size, scan(backlog, most_pages=most_pages, draw=lambda: draw))
        assert len(taken) <= min(most_pages, most)
        assert len(taken) == 1 or length > 1, "an inbox of one page costs one LIST"
        return {key for page in taken for key in page}

    usual = 2 + length // SWEEP_TICKS
    look(most=max(SEEKS, usual))
    first_sweeps = set[str]().union(*(look(usual) for _ in range(2 * length)))
    assert len(first_sweeps) == count
    sweep = max(SWEEP_TICKS, -(-length // max(1, most_pages - 1))) + 1
    later = set[str]().union(*(look(usual) for _ in range(2 * sweep)))
    assert len(later) == count


# Where a process begins


def drawn(seed: int) -> Callable[[], float]:
    return random.Random(seed).random


def first_pages(entries: Sequence[Entry], seed: int, size: int = 10) -> list[list[str]]:
    return pages(entries, size, scan(Backlog(), draw=drawn(seed)))


SHAPES = {
    "one group of random ids": [f"4.acme.flux.{n * 2654435761 % 2**32:08x}" for n in range(100)],
    "ids that begin with the time": [f"4.acme.flux.0199{n * 977:08x}" for n in range(100)],
    "several tenants": [f"4.tenant-{n % 5}.flux.job-{n:03}" for n in range(100)],
    "priorities and tenants": [
        f"{n % 3 + 3}.t{n % 4}.flux.{n * 40503 % 2**16:04x}" for n in range(100)
    ],
    "bare ids": [f"{n * 2654435761 % 2**32:08x}" for n in range(100)],
}


@pytest.mark.thorough
@pytest.mark.parametrize("shape", SHAPES)
def test_processes_begin_at_different_places_and_list_the_head_all_the_same(shape: str) -> None:
    entries = listing(*(f"{name}.json" for name in SHAPES[shape]))
    looks = [first_pages(entries, seed) for seed in range(40)]
    head = [each.key.removeprefix(INBOX) for each in entries[:10]]
    assert all(look[0] == head for look in looks)
    assert all(len(look) <= SEEKS for look in looks)
    second = {page[0] for look in looks for page in look[1:] if page}
    assert len(second) >= 5
    seen = {key for seed in range(1000) for page in first_pages(entries, seed) for key in page}
    assert len(seen) == len(entries)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_place_to_begin_is_behind_what_was_found_and_before_what_is_empty(shape: str) -> None:
    entries = listing(*(f"{name}.json" for name in SHAPES[shape]))
    for seed in range(40):
        at = scan(Backlog(), draw=drawn(seed))
        after: str | None = at.begin()
        last, empty_from = "", "~"
        while after is not None:
            assert last <= after
            assert after < empty_from or after == last
            page = [each for each in entries if each.key > after][:10]
            last = page[-1].key if page else last
            empty_from = empty_from if page else after
            after = at.take(Page(page, bool(page) and page[-1] != entries[-1], NOW))


DEEP = {
    "random ids": [f"4.acme.flux.{n * 2654435761 % 2**32:08x}" for n in range(2000)],
    "ids that begin with the time": [f"4.acme.flux.0199{n * 977:08x}" for n in range(2000)],
}


@pytest.mark.parametrize("shape", DEEP)
def test_of_a_long_inbox_processes_begin_far_behind_the_head_too(shape: str) -> None:
    entries = listing(*(f"{name}.json" for name in DEEP[shape]))
    far = 0
    for seed in range(30):
        backlog = Backlog()
        pages(entries, 50, scan(backlog, draw=drawn(seed)))
        assert backlog.position, "a place was found"
        far += backlog.position > entries[200].key
    assert far >= 5


def test_the_first_sweep_goes_on_from_where_it_began() -> None:
    entries = listing(*(f"{name}.json" for name in SHAPES["one group of random ids"]))
    backlog = Backlog()
    first = pages(entries, 10, scan(backlog, draw=drawn(3)))
    following = pages(entries, 10, scan(backlog, draw=drawn(4)))
    last = next(page for page in first[1:] if page)[-1]
    keys = [each.key.removeprefix(INBOX) for each in entries]
    assert len(following) == 2
    assert following[1][0] == keys[keys.index(last) + 1]


@pytest.mark.parametrize("draw", [0.0, 0.5, 0.999, 1.0])
def test_any_draw_leads_somewhere(draw: float) -> None:
    backlog = Backlog()
    first = pages(FIVE, 1, scan(backlog, draw=lambda: draw))
    assert first[0] == ["4.acme.flux.a.json"]
    assert backlog.position is not None
    seen = {key for _ in range(8) for page in pages(FIVE, 1, scan(backlog)) for key in page}
    assert len(seen) == 5


def test_of_a_single_page_nothing_is_drawn() -> None:
    assert scan(Backlog(), draw=_never).take(Page(FIVE, False, NOW)) is None
    assert len(pages(FIVE, 2, scan(Backlog(), most_pages=1, draw=_never))) == 1


def _never() -> float:
    raise AssertionError("drawn for nothing")


# What is kept from tick to tick


def test_what_was_listed_stays_a_candidate() -> None:
    backlog = begun()
    for _ in range(2):
        at = scan(backlog)
        pages(FIVE, 1, at)
    assert names(at.waiting) == [*"abc"]


def test_what_is_not_listed_again_has_gone() -> None:
    backlog = begun()
    for _ in range(4):
        pages(FIVE, 1, scan(backlog))
    without_c = [each for each in FIVE if ".c." not in each.key]
    for _ in range(2):
        at = scan(backlog)
        pages(without_c, 1, at)
    assert sorted(names(at.waiting)) == [*"abde"]
    pages(without_c[:-1], 1, scan(backlog))
    at = scan(backlog)
    pages(without_c[:-1], 1, at)
    assert sorted(names(at.waiting)) == [*"abd"]


def test_held_jobs_are_no_candidates_but_their_entries_are_noted() -> None:
    backlog = begun()
    pages(FIVE, 5, scan(backlog))
    at = scan(backlog, held=frozenset("ce"))
    pages(FIVE[:4], 5, at)
    assert names(at.waiting) == [*"abd"]
    assert at.beside_lease == {"c": FIVE[2]}


def test_what_is_held_is_no_candidate_although_it_is_not_listed_again() -> None:
    backlog = begun()
    for _ in range(4):
        pages(FIVE, 1, scan(backlog))
    at = scan(backlog, held=frozenset({"c", "e"}))
    at.begin()
    assert sorted(names(at.waiting)) == [*"abd"]


def test_a_claimed_job_is_no_candidate_until_it_is_listed_again() -> None:
    backlog = begun()
    at = scan(backlog)
    pages(FIVE, 5, at)
    backlog.forget(at.waiting[:2])
    assert names(tuple(backlog.known.values())) == [*"cde"]
    pages(FIVE, 5, scan(backlog))
    assert sorted(backlog.known) == [each.key for each in FIVE]


def test_an_entry_that_was_written_again_is_as_young_as_it_looks() -> None:
    backlog = begun()
    pages(FIVE, 5, scan(backlog))
    again = replace(FIVE[0], last_modified=NOW + timedelta(seconds=5), etag="other")
    at = scan(backlog)
    pages([again, *FIVE[1:]], 5, at)
    assert at.waiting[0].entry == again


def test_names_that_are_no_jobs_are_kept_apart() -> None:
    at = scan(Backlog())
    pages(listing("4.acme.flux.a.json", "Bad Name.json", "zz.txt"), 5, at)
    assert [each.key for each in at.invalid_entries] == ["inbox/Bad Name.json", "inbox/zz.txt"]
    assert names(at.waiting) == ["a"]


def test_what_is_kept_is_bounded_and_is_what_is_served_first() -> None:
    old = [entry(f"{INBOX}4.big.flux.{n:03}.json", 100 - n) for n in range(40)]
    face = [entry(f"{INBOX}5.big.face.{n:03}.json", 100 - n) for n in range(40)]
    at = scan(begun(), flux=7)
    at.kept = 5
    pages(sorted(old + face, key=lambda each: each.key), 40, at)
    kept = names(ORDER.sort(at.waiting))
    assert kept[:7] == [f"{n:03}" for n in range(7)], "as many as there are slots"
    assert kept[7:] == [f"{n:03}" for n in range(5)], "of a full route a few"


def test_of_one_page_everything_is_kept() -> None:
    at = scan(begun())
    at.kept = 2
    pages(FIVE, 5, at)
    assert len(at.waiting) == 5


@given(
    st.lists(
        st.builds(
            InboxName,
            st.sampled_from([0, 5, 9]),
            st.sampled_from(["a", "b", "c"]),
            st.sampled_from(["flux", "schnell", "face", "other"]),
            st.text("0459az", min_size=1, max_size=4),
        ),
        min_size=1,
        max_size=40,
        unique_by=lambda name: name.key,
    ),
    st.lists(st.sampled_from([0, 1, 2, 300, 1500]), min_size=40, max_size=40),
    st.dictionaries(
        st.tuples(st.sampled_from("abc"), st.sampled_from(["Flux", "Face"])), st.integers(0, 4)
    ),
    st.integers(0, 4),
    st.integers(1, 6),
)
def test_a_place_that_comes_free_finds_the_best_of_all_that_was_listed(
    given_names: list[InboxName],
    ages: list[int],
    in_flight: dict[Any, int],
    free: int,
    size: int,
) -> None:
    """What is kept after a sweep is as good as everything, whatever the pages."""
    entries = [entry(name.key, age) for name, age in zip(given_names, ages, strict=False)]
    entries.sort(key=lambda each: each.key)
    order = ServiceOrder(NOW, 300, ROUTES.get, in_flight)
    slots = Slots({"Flux": free, "Face": 1}, ROUTES.get)
    everything = [
        Waiting(name, entry(name.key, age)) for name, age in zip(given_names, ages, strict=False)
    ]
    backlog = begun()
    for _ in range(len(entries) + 1):
        at = Scan(backlog, order, slots, frozenset(), 50, _never, kept=1)
        pages(entries, size, at)
    expected = [job for job in admit(everything, slots, order) if job.model != "other"]
    assert [job for job in admit(at.waiting, slots, order) if job.model != "other"] == expected


# What bodies said


def bare(*names: str) -> list[Entry]:
    return listing(*(f"{name}.json" for name in names))


def test_bodies_are_read_where_a_slot_is_free_and_not_every_job_finds_one() -> None:
    at = scan(begun(), flux=1)
    pages(bare("a", "b"), 5, at)
    assert names(at.unread()) == ["a", "b"]


def test_only_bodies_of_keys_that_say_no_model_are_read() -> None:
    at = scan(begun(), flux=1)
    pages(listing("bare.json", "4.acme.flux.full.json"), 10, at)
    assert names(at.unread()) == ["bare"]


@pytest.mark.parametrize("free", [0, 2])
def test_no_body_is_read_when_no_slot_is_free_or_all_jobs_find_one(free: int) -> None:
    at = scan(begun(), flux=free, face=free)
    pages(bare("a", "b"), 5, at)
    assert at.unread() == []


def test_few_bodies_are_read_in_a_tick_those_of_the_oldest_first() -> None:
    at = scan(begun(), flux=1)
    pages([entry(f"{INBOX}{n:03}.json", n) for n in range(100)], 1000, at)
    assert names(at.unread()) == [f"{99 - n:03}" for n in range(BODIES)]


def test_a_body_is_known_as_long_as_its_etag_stands() -> None:
    backlog = begun()
    (first,) = bare("a")
    backlog.learn(first, Contents("acme", "face"))
    for listed, model in ((first, "face"), (replace(first, etag="other"), None), (first, "face")):
        at = scan(backlog, face=1)
        pages([listed], 5, at)
        assert [job.model for job in at.waiting] == [model]


def test_what_is_remembered_of_bodies_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "READ", 2)
    backlog = begun()
    for each in bare("a", "b", "c"):
        backlog.learn(each, Contents("acme", "face"))
    at = scan(backlog)
    pages(bare("a", "b", "c"), 5, at)
    backlog.known.clear()
    pages(bare("a", "b", "c"), 5, at := scan(backlog))
    assert [job.model for job in at.waiting] == [None, "face", "face"]


def test_a_look_at_a_few_entries_shares_what_bodies_said_and_no_more() -> None:
    backlog = begun()
    pages(bare("a", "b"), 5, scan(backlog))
    apart = backlog.apart()
    assert apart.known == {}
    apart.learn(bare("a")[0], Contents("acme", "face"))
    pages(bare("a", "b"), 5, at := scan(backlog))
    assert [job.model for job in at.waiting] == ["face", None]


def test_a_sweep_in_pages_of_any_kind_of_name_ends() -> None:
    odd = [Entry(f"{INBOX}{name}", "e", 1, NOW) for name in sorted(["", "!", "~", "é", "zz", "A"])]
    backlog = Backlog()
    seen = set[str]()
    for look in itertools.islice(
        iter(lambda: pages(odd, 1, scan(backlog, draw=drawn(1))), None), 12
    ):
        seen |= {key for page in look for key in page}
    assert len(seen) == 6


def test_the_simulation_is_no_kinder_than_the_bucket() -> None:
    """A job that somebody else took is claimed in vain, and stays away."""
    simulation = OrderSimulation({"Flux": 1}, page=1)
    for id in "abc":
        simulation.submit(id)
    simulation.tick()
    assert simulation.waiting == 2


# What waits for something else than a slot


def test_a_job_that_is_held_up_waits_for_no_slot() -> None:
    at = scan(Backlog())
    at.holds = lambda job: job.name.id in "bd"
    pages(FIVE, 5, at)
    assert names(at.waiting) == ["a", "c", "e"]
    assert names(at.held_up) == ["b", "d"]


def test_what_is_held_up_takes_no_place_among_what_stays_known() -> None:
    at = scan(begun())
    at.holds = lambda job: job.name.id < "d"
    pages(FIVE, 2, at)
    assert not at.held_up
    assert names(at.waiting) == ["d"]


def test_until_it_is_known_what_is_held_up_everything_waits() -> None:
    at = scan(Backlog())
    pages(FIVE, 5, at)
    assert len(at.waiting) == 5
    assert not at.held_up
