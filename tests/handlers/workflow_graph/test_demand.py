"""Graphs whose inputs are each within limits, and which together ask for too much."""

import time
from typing import Any

import pytest

from config.errors import GraphRejected
from handlers.workflow_graph import caller_graph
from handlers.workflow_graph.allow_list import allow_list
from handlers.workflow_graph.demand import Demand, GraphLimits, demand
from handlers.workflow_graph.output_extents import outputs
from workflows.interfaces import committed

LIMITS = GraphLimits(megapixels=64, total_megapixels=512, samplers=16, megapixel_steps=2000)
Api = dict[str, dict[str, Any]]


def node(class_type: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": class_type, "inputs": inputs}


def chain(first: dict[str, Any], link: str, *rest: dict[str, Any], last: str = "SaveImage") -> Api:
    """The first node's output through `link` of each of the rest, and saved."""
    graph = {"0": first}
    for n, each in enumerate(rest, 1):
        graph[str(n)] = {**each, "inputs": {**each["inputs"], link: [str(n - 1), 0]}}
    graph["save"] = node(last, images=[str(len(rest)), 0], filename_prefix="x")
    return graph


def demanded(graph: Api, **pictures: tuple[int, int]) -> Demand:
    return demand(caller_graph.running(graph), committed().nodes, pictures, (1, 1))


def refused(graph: Api, limits: GraphLimits = LIMITS, **pictures: tuple[int, int]) -> GraphRejected:
    with pytest.raises(GraphRejected) as caught:
        demanded(graph, **pictures).require_within(limits)
    assert caught.value.hint
    return caught.value


def largest(graph: Api, at: str, **pictures: tuple[int, int]) -> tuple[float, float, float]:
    [row] = [each for each in demanded(graph, **pictures).nodes if each.node == at]
    return row.largest.batch, row.largest.width, row.largest.height


EMPTY = node("EmptyImage", width=1024, height=1024, batch_size=1, color=0)
LATENT = node("EmptyLatentImage", width=1024, height=1024, batch_size=1)
BY_4 = node("ImageScaleBy", upscale_method="area", scale_by=4)
PADDED = node("ImagePadForOutpaint", left=2048, right=2048, top=2048, bottom=2048, feathering=0)


def doubled(class_type: str, first: dict[str, Any], one: str, two: str, times: int) -> Api:
    graph = {"0": first}
    for n in range(1, times + 1):
        graph[str(n)] = node(class_type, **{one: [str(n - 1), 0], two: [str(n - 1), 0]})
    return graph


def sampler(latent: str, steps: int = 50, **more: Any) -> dict[str, Any]:
    usual = {"cfg": 1.0, "sampler_name": "euler", "scheduler": "simple", "denoise": 1.0, "seed": 1}
    return node("KSampler", latent_image=[latent, 0], steps=steps, **(usual | more))


def samplers(count: int, steps: int = 50) -> Api:
    graph = {"0": LATENT}
    for n in range(1, count + 1):
        graph[str(n)] = sampler(str(n - 1), steps)
    return {**graph, "save": node("SaveImage", images=[str(count), 0], filename_prefix="x")}


def saved(graph: Api, last: str) -> Api:
    return {**graph, "save": node("SaveImage", images=[last, 0], filename_prefix="x")}


@pytest.mark.parametrize(
    ("graph", "at", "unit"),
    [
        (chain(EMPTY, "image", *[BY_4] * 6), "2", "megapixels"),
        (chain(LATENT, "samples", *[node("LatentUpscaleBy", scale_by=4)] * 6), "2", "megapixels"),
        (chain(LATENT, "samples", *[node("RepeatLatentBatch", amount=8)] * 6), "3", "megapixels"),
        (chain(EMPTY, "image", *[node("RepeatImageBatch", amount=8)] * 6), "3", "megapixels"),
        (chain(EMPTY, "image", *[PADDED] * 6), "2", "megapixels"),
        (saved(doubled("ImageBatch", EMPTY, "image1", "image2", 40), "40"), "7", "megapixels"),
        (saved(doubled("ImageStitch", EMPTY, "image1", "image2", 40), "40"), "7", "megapixels"),
        (samplers(150), "17", "samplers"),
        (samplers(16, 100)
         | {"0": node("EmptyLatentImage", width=2048, height=1024, batch_size=1)}, "11", "steps"),
        (saved(doubled("ConditioningCombine", node("CLIPTextEncode", text="x"),
                       "conditioning_1", "conditioning_2", 40), "40"), "6", "texts"),
        (saved(doubled("ConditioningConcat", node("CLIPTextEncode", text="x"),
                       "conditioning_to", "conditioning_from", 40), "40"), "6", "texts"),
    ],
)  # fmt: skip
def test_what_multiplies_along_links_is_refused_at_the_node_where_it_goes_too_far(
    graph: Api, at: str, unit: str
) -> None:
    refusal = refused(graph)

    assert refusal.field == f"input.workflow.{at}"
    assert unit in refusal.message
    assert isinstance(refusal.value, float | int)


def test_many_pictures_that_are_small_enough_each_are_too_many_together() -> None:
    graph = {str(n): node("EmptyImage", width=4096, height=4096, batch_size=4) for n in range(9)}
    for n in range(9):
        graph |= {f"s{n}": node("SaveImage", images=[str(n), 0], filename_prefix="x")}

    assert "with those before it" in refused(graph).message


def test_a_picture_counts_by_its_own_size() -> None:
    graph = chain(node("LoadImage", image="a"), "image", BY_4)

    demanded(graph).require_within(LIMITS)
    demanded(graph, a=(1024, 1024)).require_within(LIMITS)
    assert refused(graph, a=(4096, 4096)).field == "input.workflow.1"


def test_what_no_output_needs_is_not_run_and_counts_for_nothing() -> None:
    graph = chain(EMPTY, "image", *[BY_4] * 6)
    graph["save"] = node("SaveImage", images=["0", 0], filename_prefix="x")

    demanded(graph).require_within(LIMITS)


@pytest.mark.parametrize(
    ("graph", "at", "size"),
    [
        (chain(EMPTY, "image", node("ImageScale", width=2048, height=0)), "1", (1, 2048, 2048)),
        (chain(EMPTY, "image", node("ImageCrop", width=512, height=2048, x=768, y=0),
               node("ImageScale", width=0, height=2048)), "2", (1, 512, 2048)),
        (chain(EMPTY, "image", node("ImageScaleToTotalPixels", megapixels=4.0)), "1",
         (1, 2048, 2048)),
        (chain(EMPTY, "image", PADDED, node("ImageRotate", rotation="90 degrees")), "2",
         (1, 5120, 5120)),
        (chain(LATENT, "samples", node("LatentCrop", width=256, height=512, x=2000, y=0),
               node("LatentRotate", rotation="270 degrees")), "2", (1, 512, 64)),
        (chain(EMPTY, "image", node("RepeatImageBatch", amount=8),
               node("ImageFromBatch", batch_index=0, length=3)), "2", (3, 1024, 1024)),
        (chain(EMPTY, "image", node("ImageInvert")), "1", (1, 1024, 1024)),
    ],
)  # fmt: skip
def test_sizes_are_those_that_comfyui_makes(
    graph: Api, at: str, size: tuple[float, float, float]
) -> None:
    assert largest(graph, at) == size


def test_pictures_side_by_side_are_scaled_to_one_height() -> None:
    graph = {
        "a": node("EmptyImage", width=1000, height=1000, batch_size=2),
        "b": node("EmptyImage", width=500, height=250, batch_size=1),
        "c": node("ImageStitch", image1=["a", 0], image2=["b", 0], direction="right",
                  match_image_size=True, spacing_width=10),
        "d": node("ImageStitch", image1=["a", 0], image2=["b", 0], direction="down",
                  match_image_size=False, spacing_width=0),
        "save": node("SaveImage", images=["c", 0]),
        "save2": node("SaveImage", images=["d", 0]),
    }  # fmt: skip

    assert largest(graph, "c") == (2, 3010, 1000)
    assert largest(graph, "d") == (2, 1000, 1250)


def test_a_size_that_follows_from_an_unknown_ratio_is_refused() -> None:
    graph = {
        "a": node("LoadImage", image="a"),
        "b": node("MaskToImage", mask=["a", 1]),
        "c": node("ImageScale", image=["b", 0], width=0, height=1024),
        "save": node("SaveImage", images=["c", 0]),
    }
    refusal = refused(graph, a=(512, 512))

    assert refusal.field == "input.workflow.c"
    assert "width and height" in str(refusal.hint)


def runs(graph: Api) -> float:
    [row] = [each.sampling for each in demanded(graph).nodes if each.sampling]
    return row.steps


def test_a_step_runs_the_model_for_each_text_patch_and_stage() -> None:
    text, both = node("CLIPTextEncode", text="x"), ["p", 0]
    model = node("PerturbedAttentionGuidance", model=["m", 0], scale=3)
    base: Api = {"0": LATENT, "p": text, "m": node("UNETLoader"), "pag": model}

    def steps(**inputs: Any) -> float:
        graph = {**base, "1": sampler("0", 10, positive=both, negative=both, **inputs)}
        return runs(saved(graph, "1"))

    assert steps() == 10
    assert steps(cfg=4.0) == 20
    assert steps(model=["pag", 0]) == 20
    assert steps(sampler_name="heun") == 20
    assert steps(sampler_name="dpm_adaptive") == 100


def test_the_steps_of_a_custom_sampler_come_with_its_sigmas() -> None:
    combined = node("ConditioningCombine", conditioning_1=["p", 0], conditioning_2=["p", 0])
    graph = {
        "0": LATENT,
        "m": node("UNETLoader"),
        "p": node("CLIPTextEncode", text="x"),
        "c": combined,
        "n": node("ControlNetApplyAdvanced", positive=["c", 0], negative=["p", 0]),
        "g": node("CFGGuider", model=["m", 0], positive=["n", 0], negative=["n", 1], cfg=3),
        "s": node("BasicScheduler", model=["m", 0], steps=20),
        "k": node("KSamplerSelect", sampler_name="dpmpp_sde"),
        "1": node("SamplerCustomAdvanced", latent_image=["0", 0], guider=["g", 0],
                  sigmas=["s", 0], sampler=["k", 0]),
    }  # fmt: skip
    # Two texts and one, a ControlNet's run for each of them, two stages a step.
    assert runs(saved(graph, "1")) == 20 * (4 + 2) * 2


def test_the_estimate_adds_what_is_beside_sampling() -> None:
    mask = node("SolidMask", value=1, width=1024, height=1024)
    grown = {
        "0": mask,
        "1": node("GrowMask", mask=["0", 0], expand=-512),
        "2": node("MaskToImage", mask=["1", 0]),
        "save": node("SaveImage", images=["2", 0]),
    }
    work = demanded(grown).work

    assert (work.images, work.steps) == (0, 0)
    assert 12 < work.other_seconds < 14


def test_each_sampler_is_a_work_of_its_own() -> None:
    work = demanded(samplers(2, 20)).work

    assert (work.steps, work.images, work.width) == (20, 1, 1024)
    assert work.then is not None
    assert (work.then.steps, work.then.then is not None) == (20, True)


def test_the_largest_graph_is_judged_at_once() -> None:
    graph = samplers(199, 100)
    started = time.process_time()
    refused(graph)

    assert time.process_time() - started < 0.5


def test_every_allowed_class_has_an_extent_for_each_output() -> None:
    allowed, nodes = allow_list(), committed().nodes
    for name in {*allowed.nodes, *allowed.images, *allowed.weights}:
        types = nodes[name].output
        assert len(outputs(name, types, {}, (8, 8))) >= len(types), name
