from collections.abc import Mapping
from dataclasses import replace
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.models import load_models
from config.routes import Route, load_routes
from pipeline.engines.machine import GIB, Card, Machine, plan_machine, shares_on, unbounded
from pipeline.worker.card_needs import CardNeed, card_need
from pipeline.worker.residency import ROOM_BYTES
from pipeline.worker.setup import weight_sizes
from workflows.node_pack import Speed

MODELS, ROUTES = load_models(), tuple(load_routes().routes.values())
SIZES = weight_sizes(MODELS, None)
SMALL, LARGE = Card("0", 16 * GIB), Card("1", 80 * GIB)


def need_of(route: Route, card: Card) -> CardNeed:
    return card_need(route, MODELS, SIZES, Speed.STOCK)


def fp8_of(route: Route, card: Card) -> CardNeed:
    return card_need(route, MODELS, SIZES, Speed.FP8)


def planned(*cards: Card, main_gib: float | None = None, **options: object) -> Machine:
    memory = None if main_gib is None else round(main_gib * GIB)
    return plan_machine(cards, memory, ROUTES, need_of, fp8_of=fp8_of, **options)  # type: ignore[arg-type]


def served(machine: Machine) -> list[set[str]]:
    return [set(each.shares) for each in machine.cards]


def test_a_small_route_is_served_by_both_gpus_and_a_large_one_by_the_large() -> None:
    machine = planned(SMALL, LARGE)
    assert served(machine) == [{"InstantId"}, {"Flux", "InstantId", "ZImage"}]
    assert [machine.most(each) for each in ("InstantId", "Flux")] == [2, 1]
    assert not machine.misfits


def test_what_fits_no_gpu_is_not_served_and_the_numbers_are_told() -> None:
    machine = planned(SMALL, Card("1", 24 * GIB))
    assert machine.unserved == {"Flux"}
    (misfit,) = machine.misfits
    assert misfit.message == (
        "Flux is not served: it needs 34.6 GiB of a GPU, and GPU 1 has 24.0 GiB"
    )
    assert "larger GPU" in misfit.hint
    assert "RYLA_FORCED_ROUTES=Flux" in misfit.hint
    assert "fp8" not in misfit.hint, "24 GiB hold it in 8 bits neither"


def test_eight_bits_are_named_where_they_would_do() -> None:
    (misfit,) = planned(Card("0", 32 * GIB)).misfits
    assert 'speed = "fp8"' in misfit.hint
    assert "(26.6 GiB)" in misfit.hint


def test_too_little_main_memory_is_told_as_such() -> None:
    machine = planned(LARGE, main_gib=16)
    (misfit,) = machine.misfits
    assert misfit.message == (
        "Flux is not served: it needs 22.2 GiB of main memory, and this machine has 16.0 GiB"
    )
    assert "more main memory" in misfit.hint


def test_a_forced_route_is_served_by_all_and_takes_a_small_gpu_whole() -> None:
    machine = planned(SMALL, LARGE, main_gib=1, forced=["Flux"])
    assert "Flux" not in machine.unserved
    assert machine.cards[0].shares["Flux"] == SMALL.memory


@pytest.mark.parametrize("devices", [(), ("0", "3")])
def test_where_nothing_is_known_all_fits(devices: tuple[str, ...]) -> None:
    names = [each.name for each in ROUTES]
    machine = unbounded(devices, names, 2)
    cards = [Card(device) for device in devices or ("",)]
    assert machine == planned(*cards, workers=2)
    assert machine.most("Flux") == 2 * len(cards)


def test_on_a_card_that_holds_all_the_rest_goes_to_the_first_that_has_use_for_it() -> None:
    machine = planned(LARGE)
    (card,) = machine.cards
    flux, instantid, zimage = (card.shares[each.name] or 0 for each in ROUTES)
    assert not card.takes_turns
    assert flux + instantid + zimage == LARGE.memory
    assert instantid == need_of(ROUTES[1], LARGE).least
    assert card.left_to_others("Flux", 1) == instantid + zimage


def test_what_can_have_nobody_beside_it_has_the_whole_card() -> None:
    (card,) = planned(Card("0", 46 * GIB)).cards
    assert card.takes_turns
    assert card.shares["Flux"] == 46 * GIB
    assert (card.shares["InstantId"] or 0) + (card.shares["ZImage"] or 0) < 46 * GIB
    assert card.left_to_others("Flux", 1) == 0


NEEDS = st.dictionaries(
    st.sampled_from("abcd"), st.tuples(st.integers(1, 40), st.integers(0, 60)), min_size=1
)


@settings(max_examples=30)
@given(needs=NEEDS, memory=st.integers(1, 100), workers=st.integers(1, 2))
def test_shares_are_within_bounds_and_part_none_that_fitted_together(
    needs: Mapping[str, tuple[int, int]], memory: int, workers: int
) -> None:
    wanted = {
        name: CardNeed(prompt * GIB, (prompt + more) * GIB, 0)
        for name, (prompt, more) in needs.items()
    }
    card = Card("0", memory * GIB + ROOM_BYTES)
    assert card.memory is not None
    fitting = {name: need for name, need in wanted.items() if need.least <= card.memory}
    shares = {name: share or 0 for name, share in shares_on(card, fitting, workers).items()}
    for name, need in fitting.items():
        assert need.least <= shares[name] <= max(need.least, min(need.most, card.memory))
    for one, other in combinations(fitting, 2):
        if fitting[one].least + fitting[other].least <= card.memory:
            assert shares[one] + shares[other] <= card.memory
    assert shares_on(replace(card, memory=None), fitting) == dict.fromkeys(fitting)
