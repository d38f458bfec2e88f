from workflows.graph import Graph, Link
from workflows.step_cache import steps_of, threshold_of, with_step_cache


def sampled(threshold: float, steps: object = 20) -> Graph:
    graph = Graph()
    model = graph.add("UNETLoader", id="unet", unet_name="a.safetensors").out()
    model = with_step_cache(graph, model, threshold)
    graph.add("KSampler", id="sampler", model=model, steps=steps)
    return graph


def test_without_one_the_graph_is_as_ever() -> None:
    graph = sampled(0)

    assert [node.id for node in graph] == ["unet", "sampler"]
    assert graph["sampler"].inputs["model"] == Link("unet")
    assert threshold_of(graph) == 0


def test_the_sampler_s_model_goes_through_it() -> None:
    graph = sampled(0.08)

    assert graph["step-cache"].inputs == {"model": Link("unet"), "threshold": 0.08}
    assert graph["sampler"].inputs["model"] == Link("step-cache")
    assert threshold_of(graph) == 0.08


def test_steps_are_those_of_all_samplers_as_far_as_the_graph_tells() -> None:
    graph = sampled(0)
    graph.add("KSampler", id="again", model=Link("unet"), steps=4)
    graph.add("KSampler", id="linked", model=Link("unet"), steps=Link("unet", 1))

    assert steps_of(graph) == 24
