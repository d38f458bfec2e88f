import gc
from collections.abc import Iterator

import pytest

pytest.importorskip("torch", reason="`make nodes` brings it")

from handlers.comfyui.node_pack.collection import EVICTS, Collection
from workflows import node_pack

pytestmark = pytest.mark.nodes


@pytest.fixture(autouse=True)
def thawed() -> Iterator[None]:
    gc.unfreeze()
    yield
    gc.unfreeze()


def test_what_is_loaded_is_taken_out_of_the_collectors_sight_once() -> None:
    collection = Collection()
    collection.freeze_after_warm_up(frozenset({1}))
    frozen = gc.get_freeze_count()
    kept: list[list[int]] = [[] for _ in range(1000)]  # made later, so still to be looked at
    collection.freeze_after_warm_up(frozenset({1}))

    assert frozen > 1000
    assert gc.get_freeze_count() <= frozen
    assert len(kept) == 1000


def test_another_model_is_frozen_too() -> None:
    collection = Collection()
    collection.freeze_after_warm_up(frozenset({1}))
    before = gc.get_freeze_count()
    kept: list[list[int]] = [[] for _ in range(1000)]
    collection.freeze_after_warm_up(frozenset({1, 2}))

    assert gc.get_freeze_count() >= before + len(kept)


def test_a_prompt_that_lets_weights_go_gives_everything_back() -> None:
    collection = Collection()
    collection.freeze_after_warm_up(frozenset({1}))
    request = {"prompt": {}, "extra_data": {EVICTS: True}}

    assert collection.thaw_before_eviction(request) is request
    assert gc.get_freeze_count() == 0
    collection.freeze_after_warm_up(frozenset({1}))
    assert gc.get_freeze_count() > 0


@pytest.mark.parametrize("extra", [None, {}, [], {"else": 1}])
def test_any_other_prompt_changes_nothing(extra: object) -> None:
    collection = Collection()
    collection.freeze_after_warm_up(frozenset({1}))

    collection.thaw_before_eviction({"extra_data": extra})

    assert gc.get_freeze_count() > 1000


def test_both_sides_have_one_word_for_it() -> None:
    assert node_pack.EVICTS == EVICTS
