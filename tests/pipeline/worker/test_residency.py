from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.models import load_models
from pipeline.worker.residency import Residency, beside, capacity, choose, shares
from tests.workflows.test_loaders import FLUX, flux_graph
from workflows.graph import Graph
from workflows.loaders import Loader, loaders
from workflows.node_pack import Speed

GB = 1_000_000_000
CARDS = {"A10": 24.1, "L40S": 47.5, "80 GB": 85.0}
"""GB that a card has for everything, measured."""


def loader(name: str) -> Loader:
    return Loader("UNETLoader", (("unet_name", name),))


def graph(*files: str) -> Graph:
    made = Graph()
    for file in files:
        made.add("UNETLoader", unet_name=file, weight_dtype="default")
    return made


def files_beside(residency: Residency, made: Graph) -> list[str]:
    nodes = beside(residency.choose(made), made).values()
    return [node["inputs"]["unet_name"] for node in nodes]


def test_what_fits_beside_the_needed_is_kept_the_latest_used_first() -> None:
    sizes = {"a": 5, "b": 4, "c": 3, "d": 2}
    needed, *earlier = map(loader, "abcd")

    choice = choose([needed], earlier, lambda each: sizes[each.files[0]], capacity=11)

    assert [each.files for each in choice.kept] == [("b",), ("d",)]
    assert [each.files for each in choice.evicted] == [("c",)]


def test_a_prompt_names_what_earlier_prompts_loaded() -> None:
    residency = Residency({"a": 5, "b": 4}, capacity=9)

    assert files_beside(residency, graph("a")) == []
    assert files_beside(residency, graph("b")) == ["a"]
    assert files_beside(residency, graph("a")) == ["b"]


def test_what_was_let_go_is_not_named_again_until_it_was_used() -> None:
    residency = Residency({"a": 5, "b": 6}, capacity=9)
    residency.choose(graph("a"))
    residency.choose(graph("b"))

    assert files_beside(residency, graph("b")) == []


def test_a_job_says_which_files_were_let_go_for_it() -> None:
    residency = Residency({"a": 5, "b": 6}, capacity=9)
    residency.choose(graph("a"))

    assert [each.files for each in residency.choose(graph("b")).evicted] == [("a",)]


def test_a_file_of_unknown_size_is_not_kept_and_lets_nothing_stay_beside_it() -> None:
    residency = Residency({"a": 5}, capacity=9)
    residency.choose(graph("a"))

    assert files_beside(residency, graph("operators-own")) == []
    assert files_beside(residency, graph("a")) == []


def test_without_a_known_card_only_what_takes_no_room_is_kept() -> None:
    made = flux_graph()
    made.add("InstantIDFaceAnalysis", provider="CPU")
    residency = Residency(dict.fromkeys(FLUX.values(), 1), capacity=None)
    residency.choose(made)

    kept = residency.choose(graph()).kept

    assert [each.class_type for each in kept] == ["InstantIDFaceAnalysis"]


def test_kept_loaders_get_ids_that_the_graph_does_not_use() -> None:
    residency = Residency({"a": 1, "b": 1}, capacity=9)
    residency.choose(graph("a"))
    taken = Graph()
    taken.add("UNETLoader", id="kept-0", unet_name="b", weight_dtype="default")

    assert list(beside(residency.choose(taken), taken)) == ["kept-1"]


@given(
    st.lists(st.integers(0, 12), min_size=1, max_size=8, unique=True),
    st.lists(st.integers(1, 20), min_size=13, max_size=13),
    st.integers(0, 60),
)
def test_kept_and_needed_never_take_more_than_there_is_unless_the_needed_alone_do(
    held: list[int], sizes: list[int], room: int
) -> None:
    names = [loader(str(each)) for each in held]
    size: Mapping[Loader, int] = {loader(str(at)): each for at, each in enumerate(sizes)}

    choice = choose(names[:1], names[1:], size.__getitem__, room)

    taken = sum(size[each] for each in (*names[:1], *choice.kept))
    assert taken <= max(room, size[names[0]])
    assert sorted((*choice.kept, *choice.evicted), key=str) == sorted(names[1:], key=str)


@pytest.mark.parametrize(
    ("card", "sets", "fit"),
    [
        ("A10", ("flux-dev",), False),
        ("A10", ("sdxl-instantid",), True),
        ("L40S", ("flux-dev",), True),
        ("L40S", ("flux-dev", "sdxl-instantid"), False),  # short by 0.6 GB
        ("L40S", ("z-image-turbo", "sdxl-instantid"), True),
        ("80 GB", ("flux-dev", "sdxl-instantid"), True),
        ("80 GB", ("flux-dev", "sdxl-instantid", "z-image-turbo"), True),
        ("80 GB", ("flux-dev", "sdxl-instantid", "z-image-turbo", "flux-schnell"), False),
    ],
)
def test_sets_of_the_table_fit_on_a_card_or_not(
    card: str, sets: tuple[str, ...], fit: bool
) -> None:
    models = load_models()
    files = {each.file: each.bytes or 0 for each in models.files(sets).values()}
    room = capacity(round(CARDS[card] * GB))

    assert room is not None
    assert (sum(files.values()) <= room) is fit


def test_a_real_graph_keeps_its_loaders_over_another_ones_prompt() -> None:
    residency = Residency({**dict.fromkeys(FLUX.values(), 2), "b": 3}, capacity=20)
    made = flux_graph()
    residency.choose(made)

    assert set(residency.choose(graph("b")).kept) == set(loaders(made))


def test_a_kept_loader_is_named_as_the_route_s_own_graphs_name_it() -> None:
    residency = Residency({"a": 1, "b": 1}, capacity=10)
    residency.choose(graph("a"))
    choice = residency.choose(graph("b"))

    (node,) = beside(choice, graph("b"), Speed.COMPILED).values()

    assert node["class_type"] == "RylaLoadDiffusionModel"
    assert node["inputs"] == {"unet_name": "a", "speed": "compiled"}


def test_flux_in_eight_bits_leaves_room_for_what_would_not_fit_beside_it() -> None:
    sizes = {"flux": 23_800_000_000, "sdxl": 11_100_000_000}
    kept = {}
    for speed in (Speed.COMPILED, Speed.FP8):
        residency = Residency(sizes, 30_000_000_000, shares(speed))
        residency.choose(graph("sdxl"))
        kept[speed] = files_beside(residency, graph("flux"))

    assert kept == {Speed.COMPILED: [], Speed.FP8: ["sdxl"]}


def test_what_is_left_to_others_is_no_room_for_weights() -> None:
    alone = capacity(80 * GB)
    assert alone is not None
    assert capacity(80 * GB, 30 * GB) == alone - 30 * GB
    assert capacity(80 * GB, 100 * GB) == 0
    assert capacity(None, 30 * GB) is None
