import pytest

from tests.workflows.test_flux import PARTS, graph
from workflows.interfaces import committed
from workflows.own_interfaces import OWN, known, without_own
from workflows.validation import validate


def test_the_table_has_comfyui_s_nodes_and_ours() -> None:
    assert known().nodes == {**committed().nodes, **OWN}
    assert not OWN.keys() & committed().nodes.keys()


def test_of_a_server_with_ours_comfyui_s_are_left() -> None:
    assert without_own(known()) == committed()


@pytest.mark.parametrize(("threshold", "fits"), [(0.08, True), (1.5, False)])
def test_graphs_with_a_step_cache_are_judged(threshold: float, fits: bool) -> None:
    made = graph(PARTS, step_cache=threshold)

    assert bool(validate(made.api(), known()).good_outputs) is fits
    assert not validate(made.api(), committed()).good_outputs
