from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.contract.keys import INBOX, InboxName, parse_inbox_key
from pipeline.queue.admission import REFUSALS, Scan, Slots, Waiting, admit
from pipeline.store.base import Entry
from tests.support.jobs import NOW, entry

ROUTES = {"flux": "Flux", "schnell": "Flux", "face": "Face"}


def slots(**free: int) -> Slots:
    return Slots({"Flux": 0, "Face": 0} | free, ROUTES.get)


def waiting(key: str, age_s: float = 0.0) -> Waiting:
    full = f"{INBOX}{key}.json"
    return Waiting(parse_inbox_key(full), entry(full, age_s))


def names(admitted: Sequence[Waiting]) -> list[str]:
    return [job.name.id for job in admitted]


# ── places ────────────────────────────────────────────────────────────────────────────────────────


def test_a_model_has_the_places_of_its_route() -> None:
    free = slots(Flux=3, Face=1)
    assert [free.of(model) for model in ("flux", "schnell", "face")] == [3, 3, 1]
    left = free.without("schnell")
    assert [left.of(model) for model in ("flux", "schnell", "face")] == [2, 2, 1]


def test_a_bare_key_may_need_a_place_of_any_route() -> None:
    assert slots(Flux=3, Face=1).of(None) == 1
    assert slots(Flux=3, Face=0).of(None) == 0
    assert Slots({}, ROUTES.get).of(None) == 0
    assert slots(Flux=3, Face=1).without(None) == slots(Flux=2, Face=0)


def test_a_model_of_no_route_is_refused_and_takes_no_place() -> None:
    assert slots(Flux=0, Face=0).of("unheard-of") == REFUSALS
    assert slots(Flux=2, Face=1).without("unheard-of").free == {"Flux": 2, "Face": 1}


# ── admit ─────────────────────────────────────────────────────────────────────────────────────────


def test_higher_priority_goes_first() -> None:
    jobs = [waiting("4.acme.flux.old", 100), waiting("0.zeta.flux.new"), waiting("bare", 50)]
    assert names(admit(jobs, slots(Flux=9, Face=9), {})) == ["new", "old", "bare"]
    assert names(admit(jobs, slots(Flux=1, Face=9), {})) == ["new"]


def test_within_a_priority_the_oldest_goes_first() -> None:
    jobs = [waiting(f"4.acme.flux.{name}", age) for name, age in (("b", 5), ("a", 1), ("c", 9))]
    assert names(admit(jobs, slots(Flux=9), {})) == ["c", "b", "a"]


def test_the_key_decides_between_jobs_of_one_second() -> None:
    jobs = [waiting("4.acme.flux.b"), waiting("4.acme.flux.a")]
    assert names(admit(jobs, slots(Flux=9), {})) == ["a", "b"]


def test_tenants_take_turns() -> None:
    jobs = [waiting(f"4.big.flux.b{i}", 100 - i) for i in range(4)]
    jobs += [waiting("4.small.flux.s0", 1), waiting("4.tiny.flux.t0", 2)]
    assert names(admit(jobs, slots(Flux=9), {})) == ["b0", "t0", "s0", "b1", "b2", "b3"]


def test_who_has_fewer_in_flight_is_served_next() -> None:
    jobs = [waiting("4.big.flux.b0", 100), waiting("4.small.flux.s0", 1)]
    assert names(admit(jobs, slots(Flux=1), {"big": 1})) == ["s0"]
    assert names(admit(jobs, slots(Flux=1), {"big": 1, "small": 1})) == ["b0"]


def test_bare_keys_count_as_one_tenant() -> None:
    jobs = [waiting("bare-a", 9), waiting("bare-b", 8), waiting("4.acme.flux.a", 1)]
    free = slots(Flux=9, Face=9)
    assert names(admit(jobs, free, {})) == ["bare-a", "a", "bare-b"]
    assert names(admit(jobs, free, {None: 5})) == ["a", "bare-a", "bare-b"]


def test_turns_count_across_priorities() -> None:
    jobs = [waiting("0.big.flux.first"), waiting("4.big.flux.b", 9), waiting("4.small.flux.s")]
    assert names(admit(jobs, slots(Flux=9), {})) == ["first", "s", "b"]


def test_a_job_of_a_full_route_costs_its_tenant_no_turn() -> None:
    jobs = [waiting("4.acme.face.f", 9), waiting("4.acme.flux.a", 8), waiting("4.zeta.flux.z", 7)]
    assert names(admit(jobs, slots(Flux=9, Face=0), {})) == ["a", "z"]


def keys() -> st.SearchStrategy[list[InboxName]]:
    """Bare ids that lie everywhere between keyed ones, and keyed ones of few groups."""
    ids = st.text("0459-_az", min_size=1, max_size=4).filter(lambda id: id[0] not in "-_")
    words = st.sampled_from(["a", "a-", "a0", "z"])
    keyed = st.builds(
        InboxName,
        st.sampled_from([0, 5, 9]),
        words,
        st.sampled_from(["flux", "schnell", "face", "other"]),
        ids,
    )
    bare = st.builds(lambda id: InboxName(5, None, None, id), ids)
    return st.lists(keyed | bare, max_size=40, unique_by=lambda name: name.key)


def entries_of(given_names: Sequence[InboxName], ages: Sequence[int]) -> list[Waiting]:
    return [
        Waiting(name, Entry(name.key, "e", 1, NOW - timedelta(seconds=age)))
        for name, age in zip(given_names, ages, strict=False)
    ]


AGES = st.lists(st.integers(0, 5), min_size=40, max_size=40)
FREE = st.fixed_dictionaries({"Flux": st.integers(0, 4), "Face": st.integers(0, 4)})
IN_FLIGHT = st.dictionaries(st.sampled_from([None, "a", "a-", "z"]), st.integers(0, 4))


def chosen_one_by_one(
    jobs: Sequence[Waiting], free: Mapping[str, int], in_flight: Mapping[str | None, int]
) -> list[Waiting]:
    """What `admit` says in its docstring, word by word."""
    left, served, chosen = list(jobs), Counter(in_flight), []
    room = dict(free)

    def turn(job: Waiting) -> tuple[int, int, datetime, str]:
        oldest = min(
            other.age_order
            for other in left
            if (other.name.priority, other.name.tenant) == (job.name.priority, job.name.tenant)
        )
        return (-job.name.priority, served[job.name.tenant], *oldest)

    while left:
        turns = min(left, key=turn)
        same = [job for job in left if turn(job) == turn(turns)]
        job = min(same, key=lambda job: job.age_order)
        left.remove(job)
        model = job.name.model
        needed = list(room) if model is None else [ROUTES[model]] if model in ROUTES else []
        if all(room[route] > 0 for route in needed):
            for route in needed:
                room[route] -= 1
            served[job.name.tenant] += 1
            chosen.append(job)
    return chosen


@given(keys(), AGES, FREE, IN_FLIGHT)
def test_admission_is_what_choosing_one_by_one_would_be(
    given_names: list[InboxName],
    ages: list[int],
    free: dict[str, int],
    in_flight: dict[str | None, int],
) -> None:
    jobs = entries_of(given_names, ages)
    admitted = admit(jobs, Slots(free, ROUTES.get), in_flight)
    assert admitted == chosen_one_by_one(jobs, free, in_flight)
    for route, room in free.items():
        taken = [job for job in admitted if job.name.model is None]
        taken += [job for job in admitted if ROUTES.get(job.name.model or "") == route]
        assert len(taken) <= room


# ── scan ──────────────────────────────────────────────────────────────────────────────────────────


def scan_all(
    listed: Sequence[Entry], free: Slots, held: frozenset[str], page: int
) -> tuple[Scan, int]:
    """As the survey lists: pages of this size, and how many entries were listed."""
    scan, after, seen = Scan(free, held), "", 0
    ordered = sorted(listed, key=lambda each: each.key.encode())
    while True:
        rest = [each for each in ordered if each.key > after]
        entries = rest[:page]
        seen += len(entries)
        following = scan.take(entries)
        if following is None or len(rest) <= page:
            return scan, seen
        assert following > after
        after = following


@given(keys(), FREE, st.integers(1, 6), st.sets(st.text("04az", min_size=1, max_size=2)))
def test_skipping_misses_no_candidate(
    given_names: list[InboxName], free: dict[str, int], page: int, held: set[str]
) -> None:
    listed = [Entry(name.key, "e", 1, NOW) for name in given_names]
    spaces = Slots(free, ROUTES.get)
    whole, _ = scan_all(listed, spaces, frozenset(held), 1000)
    paged, _ = scan_all(listed, spaces, frozenset(held), page)
    assert paged.waiting == whole.waiting

    expected: dict[object, list[str]] = {}
    for name in sorted(given_names, key=lambda name: name.key):
        group = expected.setdefault((name.priority, name.tenant, name.model), [])
        if name.id not in held and len(group) < spaces.of(name.model):
            group.append(name.key)
    assert {job.entry.key for job in whole.waiting} == {key for g in expected.values() for key in g}


@given(keys(), AGES, FREE, IN_FLIGHT, st.integers(1, 6))
def test_what_is_admitted_does_not_depend_on_the_pages(
    given_names: list[InboxName],
    ages: list[int],
    free: dict[str, int],
    in_flight: dict[str | None, int],
    page: int,
) -> None:
    listed = [job.entry for job in entries_of(given_names, ages)]
    spaces = Slots(free, ROUTES.get)
    whole, _ = scan_all(listed, spaces, frozenset(), 1000)
    paged, _ = scan_all(listed, spaces, frozenset(), page)
    assert admit(paged.waiting, spaces, in_flight) == admit(whole.waiting, spaces, in_flight)


def listing(*keys: str) -> list[Entry]:
    return [entry(INBOX + key) for key in sorted(keys)]


def test_a_full_group_is_skipped_whatever_its_size() -> None:
    jobs = listing(*(f"4.big.flux.{i:04}.json" for i in range(1000)), "4.small.flux.x.json")
    scan, seen = scan_all(jobs, slots(Flux=2), frozenset(), 10)
    assert names(scan.waiting) == ["0000", "0001", "x"]
    assert seen == 11
    assert scan.skipped


@pytest.mark.parametrize("first", ["a", "4-", "40", "4_", "4z"])
def test_bare_ids_are_skipped_as_far_as_no_keyed_entry_lies_between(first: str) -> None:
    bare = [f"{first}{i:04}.json" for i in range(1000)]
    jobs = listing(*bare, "4.acme.flux.keyed.json", "5.acme.flux.last.json")
    scan, seen = scan_all(jobs, slots(Flux=2, Face=2), frozenset(), 10)
    assert {"keyed", "last"} <= set(names(scan.waiting))
    assert len(scan.waiting) == 4
    assert seen < 30


def test_nothing_lies_behind_bare_ids_that_begin_with_a_letter() -> None:
    scan = Scan(slots(Flux=1, Face=1), frozenset())
    assert scan.take(listing("a.json", "b.json")) is None
    assert scan.skipped


def test_a_bare_id_of_one_digit_lies_among_the_keyed_ones() -> None:
    scan = Scan(slots(), frozenset())
    assert scan.take(listing("4.json")) == "inbox/4.json"
    assert scan.skipped


def test_a_group_with_room_is_listed_on() -> None:
    scan = Scan(slots(Flux=2), frozenset())
    assert scan.take(listing("4.acme.flux.a.json")) == "inbox/4.acme.flux.a.json"
    assert not scan.skipped


def test_a_full_group_that_ends_with_the_page_was_skipped() -> None:
    scan = Scan(slots(Flux=1), frozenset())
    assert scan.take(listing("4.acme.flux.a.json")) == "inbox/4.acme.flux.\x7f"
    assert scan.skipped


def test_an_empty_page_ends_the_listing() -> None:
    scan = Scan(slots(Flux=1), frozenset())
    assert scan.take([]) is None
    assert not scan.skipped


def test_held_jobs_are_no_candidates_but_their_entries_are_noted() -> None:
    scan = Scan(slots(Flux=1), frozenset({"a"}))
    jobs = listing("4.acme.flux.a.json", "4.acme.flux.b.json")
    scan.take(jobs)
    assert names(scan.waiting) == ["b"]
    assert scan.beside_lease == {"a": jobs[0]}


def test_strangers_are_kept_apart() -> None:
    scan = Scan(slots(Flux=1), frozenset())
    jobs = listing("4.acme.flux.a.json", "Bad Name.json", "zz.txt")
    assert scan.take(jobs) == "inbox/zz.txt"
    assert [each.key for each in scan.invalid_entries] == ["inbox/Bad Name.json", "inbox/zz.txt"]
    assert names(scan.waiting) == ["a"]
    assert not scan.skipped


def test_entries_of_a_model_without_route_are_taken_a_few_at_a_time() -> None:
    jobs = listing(*(f"4.acme.other.{i:04}.json" for i in range(1000)))
    scan, _ = scan_all(jobs, slots(), frozenset(), 100)
    assert len(scan.waiting) == REFUSALS
    assert len(admit(scan.waiting, slots(), {})) == REFUSALS
