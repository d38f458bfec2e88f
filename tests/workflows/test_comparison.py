from dataclasses import replace

from workflows import missing_nodes, required_nodes
from workflows.comparison import compare, with_absent_packs
from workflows.interfaces import InputSpec, Interfaces, NodeInterface, committed

OURS = committed()


def without(*names: str, version: str = "0.3.64") -> Interfaces:
    nodes = {name: node for name, node in OURS.nodes.items() if name not in names}
    return Interfaces(version, nodes)


def changed(node: NodeInterface) -> Interfaces:
    return replace(OURS, nodes={**OURS.nodes, node.name: node})


def test_a_table_is_the_same_as_itself() -> None:
    assert compare(OURS, OURS, required_nodes.ALL).same


def test_a_node_that_the_other_lacks_is_missing_with_both_versions() -> None:
    found = compare(OURS, without("FluxGuidance"), required_nodes.ALL)

    assert found.missing == ("FluxGuidance",)
    assert (found.ours, found.theirs) == (OURS.comfyui_version, "0.3.64")
    assert not found.same


def test_nodes_that_no_graph_needs_do_not_count() -> None:
    assert compare(OURS, without("SaveWEBM"), required_nodes.ALL).same


def test_a_change_is_told_by_input() -> None:
    node = OURS.nodes["KSampler"]
    sampler = node.required["sampler_name"]
    other = replace(
        node,
        required={
            **{name: spec for name, spec in node.required.items() if name != "denoise"},
            "sampler_name": replace(sampler, enum=(*sampler.enum[1:], "brand_new")),
            "steps": replace(node.required["steps"], max=50),
            "eta": InputSpec("FLOAT"),
        },
        output=("LATENT", "IMAGE"),
    )

    assert set(compare(OURS, changed(other), required_nodes.ALL).changed["KSampler"]) == {
        "required input denoise is gone",
        "required input eta is new",
        f"sampler_name lost {sampler.enum[0]}",
        "sampler_name gained brand_new",
        "steps.max: 10000 became 50",
        "output: ('LATENT',) became ('LATENT', 'IMAGE')",
    }


def test_choices_in_another_order_are_a_change_that_is_called_so() -> None:
    node = OURS.nodes["KSampler"]
    turned = replace(
        node.required["scheduler"], enum=tuple(reversed(node.required["scheduler"].enum))
    )
    other = replace(node, required={**node.required, "scheduler": turned})

    (said,) = compare(OURS, changed(other), required_nodes.ALL).changed["KSampler"]
    assert said.startswith("scheduler reordered")


def test_a_pack_that_is_not_installed_keeps_its_nodes_and_one_that_is_does_not() -> None:
    instantid = [
        name for name in OURS.nodes if missing_nodes.pack_of(name) == required_nodes.INSTANTID
    ]

    table, kept = with_absent_packs(without(*instantid), OURS)
    assert kept == (required_nodes.INSTANTID,)
    assert set(table.nodes) == set(OURS.nodes)
    assert table.comfyui_version == "0.3.64"

    table, kept = with_absent_packs(without(instantid[0], "FluxGuidance"), OURS)
    assert kept == ()
    assert set(table.nodes) == set(OURS.nodes) - {instantid[0], "FluxGuidance"}
