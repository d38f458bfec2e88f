from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.contract.keys import INBOX, InboxName, parse_inbox_key
from pipeline.queue.admission import (
    REFUSALS,
    Contents,
    ServiceOrder,
    Share,
    Slots,
    Waiting,
    admit,
    aged,
)
from pipeline.store.base import Entry
from tests.support.jobs import NOW, entry

ROUTES: dict[str | None, str] = {"flux": "Flux", "schnell": "Flux", "face": "Face"}


def slots(Flux: int = 0, Face: int = 0) -> Slots:  # noqa: N803  the names of routes
    return Slots({"Flux": Flux, "Face": Face}, ROUTES.get)


AGING_S = 300.0


def order(in_flight: Mapping[Share, int] | None = None, **more: Any) -> ServiceOrder:
    return ServiceOrder(NOW, AGING_S, ROUTES.get, in_flight or {}, **more)


def waiting(key: str, age_s: float = 0.0, contents: Contents | None = None) -> Waiting:
    full = f"{INBOX}{key}.json"
    return Waiting(parse_inbox_key(full), entry(full, age_s), contents)


def names(admitted: Sequence[Waiting]) -> list[str]:
    return [job.name.id for job in admitted]


# ── slots ────────────────────────────────────────────────────────────────────────────────────────


def test_a_model_has_the_places_of_its_route() -> None:
    free = slots(Flux=3, Face=1)
    assert [free.of(model) for model in ("flux", "schnell", "face")] == [3, 3, 1]
    left = free.without("schnell")
    assert [left.of(model) for model in ("flux", "schnell", "face")] == [2, 2, 1]


def test_a_model_of_no_route_is_refused_and_takes_no_place() -> None:
    assert slots(Flux=0, Face=0).of("unheard-of") == REFUSALS
    left = slots(Flux=2, Face=1).without("unheard-of")
    assert left.free == {"Flux": 2, "Face": 1}
    assert left.of("unheard-of") == REFUSALS - 1


# ── admit ─────────────────────────────────────────────────────────────────────────────────────────


def test_higher_priority_goes_first() -> None:
    jobs = [waiting("4.acme.flux.old", 100), waiting("0.zeta.flux.new"), waiting("bare", 50)]
    assert names(admit(jobs, slots(Flux=9, Face=9), order())) == ["new", "old", "bare"]
    assert names(admit(jobs, slots(Flux=1, Face=9), order())) == ["new"]


def test_within_a_priority_the_oldest_goes_first() -> None:
    jobs = [waiting(f"4.acme.flux.{name}", age) for name, age in (("b", 5), ("a", 1), ("c", 9))]
    assert names(admit(jobs, slots(Flux=9), order())) == ["c", "b", "a"]


def test_the_key_decides_between_jobs_of_one_second() -> None:
    jobs = [waiting("4.acme.flux.b"), waiting("4.acme.flux.a")]
    assert names(admit(jobs, slots(Flux=9), order())) == ["a", "b"]


def test_tenants_take_turns() -> None:
    jobs = [waiting(f"4.big.flux.b{i}", 100 - i) for i in range(4)]
    jobs += [waiting("4.small.flux.s0", 1), waiting("4.tiny.flux.t0", 2)]
    assert names(admit(jobs, slots(Flux=9), order())) == ["b0", "t0", "s0", "b1", "b2", "b3"]


def test_who_has_fewer_in_flight_is_served_next() -> None:
    jobs = [waiting("4.big.flux.b0", 100), waiting("4.small.flux.s0", 1)]
    assert names(admit(jobs, slots(Flux=1), order({("big", "Flux"): 1}))) == ["s0"]
    assert names(admit(jobs, slots(Flux=1), order({("big", "Flux"): 1, ("small", "Flux"): 1}))) == [
        "b0"
    ]


def test_turns_count_across_priorities() -> None:
    jobs = [waiting("0.big.flux.first"), waiting("4.big.flux.b", 9), waiting("4.small.flux.s")]
    assert names(admit(jobs, slots(Flux=9), order())) == ["first", "s", "b"]


def test_a_tenants_share_is_counted_by_route() -> None:
    """What a tenant runs on another route takes nothing from anybody here."""
    jobs = [waiting("4.big.flux.b", 2), waiting("4.small.flux.s", 1)]
    here, elsewhere = order({("big", "Flux"): 1}), order({("big", "Face"): 9})
    assert names(admit(jobs, slots(Flux=1), here)) == ["s"]
    assert names(admit(jobs, slots(Flux=1), elsewhere)) == ["b"]


def test_a_job_of_a_full_route_costs_its_tenant_no_turn() -> None:
    jobs = [waiting("4.acme.face.f", 9), waiting("4.acme.flux.a", 8), waiting("4.zeta.flux.z", 7)]
    assert names(admit(jobs, slots(Flux=9, Face=0), order())) == ["a", "z"]


# ── ageing ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("priority", "waited_s", "level"),
    [
        (5, 0, 5),
        (5, 299.9, 5),
        (5, 300, 6),
        (5, 1199, 8),
        (5, 1200, 9),
        (5, 90_000, 9),
        (0, 2700, 9),
        (9, 0, 9),
        (9, 5000, 9),
        (5, -40, 5),
    ],
)
def test_a_job_gains_a_level_with_each_time_of_ageing(
    priority: int, waited_s: float, level: int
) -> None:
    assert aged(priority, waited_s, AGING_S) == level
    job = waiting(f"{9 - priority}.acme.flux.a", waited_s)
    assert order().level(job) == level


def test_an_aged_job_goes_before_a_younger_one_of_higher_priority() -> None:
    young = waiting("0.acme.flux.young", 1)
    assert names(admit([waiting("4.acme.flux.old", 1199), young], slots(Flux=1), order())) == [
        "young"
    ]
    assert names(admit([waiting("4.acme.flux.old", 1200), young], slots(Flux=1), order())) == [
        "old"
    ]


# ── LoRAs ─────────────────────────────────────────────────────────────────────────────────────────

ANN = "loras/character-ann.safetensors"
WARM = {"Flux": frozenset({ANN})}


def wants(*loras: str) -> Contents:
    return Contents("acme", "flux", loras)


@pytest.mark.parametrize(
    ("loras", "first"),
    [
        ((ANN,), "same"),
        (("loras/x.safetensors", ANN), "same"),
        (("loras/flux-character-ann/", "loras/"), "same"),
        (("loras/character-ann",), "older"),
        (("loras/character-bob.safetensors",), "older"),
        ((), "older"),
    ],
)
def test_a_job_goes_first_whose_lora_a_job_in_flight_uses(
    loras: tuple[str, ...], first: str
) -> None:
    jobs = [waiting("4.acme.flux.older", 9), waiting("4.acme.flux.same", 8, wants(*loras))]
    assert names(admit(jobs, slots(Flux=1), order(loras=WARM))) == [first]
    assert names(admit(jobs, slots(Flux=1), order(loras={"Face": WARM["Flux"]}))) == ["older"]
    assert names(admit(jobs, slots(Flux=1), order())) == ["older"]


@pytest.mark.parametrize(("older_by", "first"), [(299, "same"), (301, "older")])
def test_it_passes_an_older_job_for_one_time_of_ageing_at_most(older_by: int, first: str) -> None:
    jobs = [
        waiting("0.acme.flux.older", 10 + older_by),
        waiting("0.acme.flux.same", 10, wants(ANN)),
    ]
    assert names(admit(jobs, slots(Flux=1), order(loras=WARM))) == [first]


def test_a_lora_goes_neither_before_a_higher_level_nor_before_a_smaller_share() -> None:
    same = waiting("4.acme.flux.same", 9, wants(ANN))
    higher, other = waiting("3.acme.flux.higher"), waiting("4.zeta.flux.other", 1)
    used = order({("acme", "Flux"): 1}, loras=WARM)
    assert names(admit([same, higher], slots(Flux=1), used)) == ["higher"]
    assert names(admit([same, other], slots(Flux=1), used)) == ["other"]


# ── bare keys ─────────────────────────────────────────────────────────────────────────────────────


def test_a_bare_key_that_was_read_needs_a_slot_of_its_own_route_alone() -> None:
    read = waiting("bare", 9, Contents("acme", "face"))
    assert names(admit([read], slots(Flux=0, Face=1), order())) == ["bare"]
    assert admit([read], slots(Flux=1, Face=0), order()) == []


def test_a_bare_key_is_claimed_unread_when_every_job_finds_a_slot_whatever_it_needs() -> None:
    jobs = [waiting("bare-a", 9), waiting("bare-b", 8), waiting("4.acme.flux.a", 1)]
    assert names(admit(jobs, slots(Flux=3, Face=2), order())) == ["bare-a", "a", "bare-b"]
    for free in (slots(Flux=2, Face=2), slots(Flux=3, Face=1)):
        assert names(admit(jobs, free, order())) == ["a"]


def test_a_bare_key_that_was_read_counts_for_its_tenant() -> None:
    jobs = [waiting("bare", 9, Contents("acme", "flux")), waiting("4.zeta.flux.z", 1)]
    assert names(admit(jobs, slots(Flux=1), order({("acme", "Flux"): 1}))) == ["z"]
    assert names(admit(jobs, slots(Flux=1), order({("zeta", "Flux"): 1}))) == ["bare"]


def test_a_body_cannot_belie_its_key() -> None:
    job = waiting("4.acme.flux.a", 0, Contents("zeta", "face"))
    assert (job.tenant, job.model) == ("acme", "flux")


def test_slots_suffice_when_every_job_finds_one_whatever_its_bare_ones_need() -> None:
    flux, face, bare = waiting("4.a.flux.1"), waiting("4.a.face.2"), waiting("bare")
    assert slots(Flux=2, Face=2).suffice([flux, face, bare])
    assert not slots(Flux=2, Face=1).suffice([flux, face, bare])
    assert slots(Flux=1, Face=1).suffice([flux, face, waiting("4.a.other.3")])
    assert slots().suffice([])


def test_of_a_model_without_route_a_few_jobs_are_taken_at_a_time() -> None:
    jobs = [waiting(f"4.acme.other.{n:03}") for n in range(REFUSALS + 36)]
    jobs += [waiting("bare", 0, Contents("acme", ""))]
    admitted = admit(jobs, slots(), order())
    assert len(admitted) == REFUSALS
    assert names(admit(jobs[REFUSALS:], slots(), order()))[-1] == "bare"


# ── all of it ─────────────────────────────────────────────────────────────────────────────────────


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


AGES = st.lists(st.sampled_from([0, 1, 2, 3, 299, 300, 1500]), min_size=40, max_size=40)
FREE = st.fixed_dictionaries({"Flux": st.integers(0, 4), "Face": st.integers(0, 4)})
SHARES = [("a", "Flux"), ("a-", "Flux"), ("z", "Flux"), ("a", "Face")]
IN_FLIGHT = st.dictionaries(st.sampled_from(SHARES), st.integers(0, 4))


def chosen_one_by_one(
    jobs: Sequence[Waiting], free: Mapping[str | None, int], in_flight: Mapping[Share, int]
) -> list[Waiting]:
    """What the module says in its docstring, word by word: a slot at a time."""
    left, served, room = list(jobs), Counter(in_flight), dict(free)
    chosen: list[Waiting] = []

    routes = [ROUTES.get(job.name.model or "") for job in jobs]
    bare = sum(job.name.model is None for job in jobs)
    room_for_all = all(routes.count(route) + bare <= room[route] for route in room)

    def needed(job: Waiting) -> list[str]:
        return [ROUTES[job.name.model]] if job.name.model in ROUTES else []

    def fits(job: Waiting) -> bool:
        if job.name.model is None:
            return room_for_all
        return all(room[route] > 0 for route in needed(job))

    def share(job: Waiting) -> Share:
        return (job.name.tenant, ROUTES.get(job.name.model or ""))

    def turn(job: Waiting) -> tuple[int, int, datetime, str]:
        waited = NOW - job.entry.last_modified
        level = min(9, job.name.priority + waited // timedelta(seconds=AGING_S))
        return (-level, served[share(job)], job.entry.last_modified, job.entry.key)

    while fitting := [job for job in left if fits(job)]:
        job = min(fitting, key=turn)
        left.remove(job)
        for route in needed(job):
            room[route] -= 1
        served[share(job)] += 1
        chosen.append(job)
    return chosen


@given(keys(), AGES, FREE, IN_FLIGHT)
def test_admission_is_what_choosing_one_by_one_would_be(
    given_names: list[InboxName],
    ages: list[int],
    free: dict[str | None, int],
    in_flight: dict[Share, int],
) -> None:
    jobs = entries_of(given_names, ages)
    admitted = admit(jobs, Slots(free, ROUTES.get), order(in_flight))
    assert admitted == chosen_one_by_one(jobs, free, in_flight)
    for route, room in free.items():
        taken = [job for job in admitted if job.name.model is None]
        taken += [job for job in admitted if ROUTES.get(job.name.model or "") == route]
        assert len(taken) <= room


@given(keys(), AGES, FREE, IN_FLIGHT)
def test_no_slot_stays_free_while_a_job_waits_that_needs_it(
    given_names: list[InboxName],
    ages: list[int],
    free: dict[str | None, int],
    in_flight: dict[Share, int],
) -> None:
    jobs = entries_of(given_names, ages)
    left = Slots(free, ROUTES.get)
    admitted = admit(jobs, left, order(in_flight))
    for job in admitted:
        left = left.without(job.model or "")
    waits = [job for job in jobs if job not in admitted]
    assert all(left.of(job.model) <= 0 for job in waits if job.model is not None)
    if any(job.model is None for job in waits):
        assert not Slots(free, ROUTES.get).suffice(jobs)


@given(keys(), AGES, FREE, IN_FLIGHT)
def test_no_job_of_a_route_is_left_for_one_of_a_lower_level(
    given_names: list[InboxName],
    ages: list[int],
    free: dict[str | None, int],
    in_flight: dict[Share, int],
) -> None:
    jobs = [job for job in entries_of(given_names, ages) if job.name.model is not None]
    at = order(in_flight)
    admitted = admit(jobs, Slots(free, ROUTES.get), at)
    for route in ROUTES.values():
        here = [job for job in jobs if ROUTES.get(job.name.model or "") == route]
        taken = [at.level(job) for job in here if job in admitted]
        left = [at.level(job) for job in here if job not in admitted]
        assert not taken or not left or min(taken) >= max(left)


@given(st.lists(st.sampled_from("abcd"), max_size=40), st.integers(0, 20), IN_FLIGHT)
def test_tenants_of_one_level_come_to_equal_shares(
    tenants: list[str], room: int, in_flight: dict[Share, int]
) -> None:
    """Whoever is left with jobs has at most one fewer in flight than whoever was served."""
    jobs = [waiting(f"4.{tenant}.flux.{n}") for n, tenant in enumerate(tenants)]
    admitted = admit(jobs, slots(Flux=room), order(in_flight))
    served = Counter(in_flight) + Counter((job.tenant, "Flux") for job in admitted)
    for left in {job.tenant for job in jobs if job not in admitted}:
        for taken in {job.tenant for job in admitted}:
            assert served[taken, "Flux"] <= served[left, "Flux"] + 1


@given(keys(), AGES, FREE, IN_FLIGHT, st.randoms(use_true_random=False))
def test_no_id_is_favoured_by_its_bytes(
    given_names: list[InboxName],
    ages: list[int],
    free: dict[str | None, int],
    in_flight: dict[Share, int],
    random: Any,
) -> None:
    """Jobs that came at different times are served alike under any other ids."""
    jobs = entries_of(given_names, ages)
    jobs = [_moved(job, seconds=n / 1000) for n, job in enumerate(jobs)]
    ids = [f"{n:02}" for n in range(len(jobs))]
    random.shuffle(ids)
    renamed = [_renamed(job, id) for job, id in zip(jobs, ids, strict=True)]
    before = admit(jobs, Slots(free, ROUTES.get), order(in_flight))
    after = admit(renamed, Slots(free, ROUTES.get), order(in_flight))
    assert [jobs.index(job) for job in before] == [renamed.index(job) for job in after]


def _moved(job: Waiting, *, seconds: float) -> Waiting:
    later = job.entry.last_modified + timedelta(seconds=seconds)
    return replace(job, entry=replace(job.entry, last_modified=later))


def _renamed(job: Waiting, id: str) -> Waiting:
    name = replace(job.name, id=id)
    return Waiting(name, replace(job.entry, key=name.key))
