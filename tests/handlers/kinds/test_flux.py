from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from pydantic import ValidationError

from config.errors import MissingModel, NotAvailable, OutputsMissing
from config.models import ModelTable, load_models
from config.routes import load_routes
from handlers.kinds.base import JobRequest, OutputFile, PromptRun, Timings, Work
from handlers.kinds.checkpoint import UNCENSORED_SET
from handlers.kinds.flux import FluxDev, FluxDevInput, FluxSchnell, FluxSchnellInput
from handlers.kinds.seeds import output_seed
from tests.support.graph_runners import GraphStudio
from workflows.graph import Graph
from workflows.interfaces import committed
from workflows.validation import require_valid

MODELS = load_models()
DEV, SCHNELL = FluxDev(), FluxSchnell()


class Studio(GraphStudio):
    """Keeps the graphs that it is given, and saves `files` files for each."""

    def __init__(self, files: int = 1) -> None:
        self.rendered: list[tuple[Graph, int, int]] = []
        self._files = files

    def render(
        self, graph: Graph, *, part: int, parts: int, then: Graph | None = None
    ) -> PromptRun:
        self.rendered.append((graph, part, parts))
        file = OutputFile("save", "x.png", f"picture {part}".encode())
        return PromptRun("p", [file] * self._files, Timings(sampling=1.0))


def dev(**fields: Any) -> FluxDevInput:
    return FluxDevInput.model_validate({"prompt": "a cat"} | fields)


def schnell(**fields: Any) -> FluxSchnellInput:
    return FluxSchnellInput.model_validate({"prompt": "a cat"} | fields)


def job(request: FluxDevInput, **changes: Any) -> JobRequest[FluxDevInput]:
    return replace(JobRequest(job_id="j1", attempt=1, input=request, seed=5), **changes)


def graphs(request: FluxDevInput, **changes: Any) -> Sequence[Graph]:
    return DEV.graphs(job(request, **changes), MODELS)


def wrong_fields(**fields: Any) -> list[Any]:
    with pytest.raises(ValidationError) as caught:
        dev(**fields)
    return [error["loc"][0] for error in caught.value.errors()]


def test_defaults() -> None:
    assert dev().model_dump() == {
        "prompt": "a cat",
        "negative_prompt": "",
        "width": 1024,
        "height": 1024,
        "steps": 20,
        "cfg": 1.0,
        "seed": None,
        "num_images": 1,
        "output_format": "png",
        "embed_prompt": False,
        "nsfw": False,
        "step_cache": 0.0,
        "guidance": None,
    }
    assert schnell().steps == 4
    assert DEV.work(dev()) == Work(images=1, steps=20, width=1024, height=1024)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("prompt", ""),
        ("prompt", "  \n"),
        ("prompt", "x" * 4001),
        ("width", 1000),
        ("width", 240),
        ("height", 2064),
        ("steps", 0),
        ("steps", 51),
        ("steps", "20"),
        ("steps", True),
        ("cfg", 10.5),
        ("guidance", -1),
        ("seed", -1),
        ("seed", 2**53),
        ("num_images", 9),
        ("output_format", "gif"),
        ("nsfw", "yes"),
        ("promt", "x"),
    ],
)
def test_fields_out_of_range_or_unknown_are_refused(field: str, value: object) -> None:
    assert wrong_fields(**{field: value}) == [field]


def test_two_megapixels_are_the_most() -> None:
    assert dev(width=2048, height=1024).width == 2048
    assert dev(width=1920, height=1088).height == 1088
    assert wrong_fields(width=2048, height=1040) == ["height"]
    assert wrong_fields(width=2048, height=2048) == ["height"]


def test_guidance_is_no_field_of_schnell() -> None:
    with pytest.raises(ValidationError, match="guidance"):
        schnell(guidance=3.5)


@pytest.mark.parametrize(
    ("fields", "guidance", "warning"),
    [
        ({}, 3.5, None),
        ({"cfg": 1.0}, 3.5, None),
        ({"guidance": 2.0}, 2.0, None),
        ({"cfg": 7.0}, 7.0, "cfg 7 was read as guidance"),
        ({"cfg": 7.0, "guidance": 3.5}, 3.5, "cfg 7 was ignored beside guidance"),
    ],
)
def test_cfg_is_read_as_guidance_unless_guidance_is_given(
    fields: dict[str, float], guidance: float, warning: str | None
) -> None:
    request = dev(**fields)

    (graph,) = graphs(request)

    assert graph["guidance"].inputs["guidance"] == guidance
    assert graph["sampler"].inputs["cfg"] == 1.0
    warnings = DEV.warnings(request)
    assert [text.partition(":")[0] for text in warnings] == ([warning] if warning else [])


def test_what_schnell_cannot_follow_is_said() -> None:
    assert SCHNELL.warnings(schnell()) == []
    assert SCHNELL.warnings(schnell(cfg=3.5)) == [
        "cfg 3.5 was ignored: Flux schnell has no guidance"
    ]


def test_a_negative_prompt_is_taken_with_a_warning() -> None:
    assert DEV.warnings(dev(negative_prompt="blurry")) == [
        "negative_prompt has no effect: this model samples at cfg 1"
    ]


def test_nsfw_takes_the_operators_checkpoint() -> None:
    own = {**MODELS.sets["flux-dev"], "unet": "own"}
    row = MODELS.weights_by_name["flux1-dev"].model_copy(
        update={"name": "own", "file": "own.safetensors", "repository": None}
    )
    models = MODELS.model_copy(
        update={
            "sets": {**MODELS.sets, UNCENSORED_SET: own},
            "weights_by_name": {**MODELS.weights_by_name, "own": row},
        }
    )

    def unet(**fields: Any) -> Any:
        [graph] = DEV.graphs(JobRequest("job", 1, dev(**fields), 7), models)
        return next(node for node in graph if node.class_type == "UNETLoader").inputs["unet_name"]

    assert (unet(nsfw=True), unet()) == ("own.safetensors", "flux1-dev.safetensors")
    [made] = DEV.run(JobRequest("job", 1, dev(nsfw=True), 7), models, Studio())
    assert "own.safetensors" in made.weights
    assert "flux1-dev.safetensors" not in made.weights


def test_nsfw_without_a_checkpoint_says_how_to_register_one() -> None:
    with pytest.raises(MissingModel) as caught:
        DEV.graphs(JobRequest("job", 1, dev(nsfw=True), 7), MODELS)

    assert caught.value.field == "input.nsfw"
    assert "ryla models add FILE --as flux-dev-uncensored" in str(caught.value.hint)


def test_nsfw_is_refused_where_there_is_no_uncensored_set() -> None:
    assert SCHNELL.unavailable(schnell()) is None
    refusal = SCHNELL.unavailable(schnell(nsfw=True))

    assert isinstance(refusal, NotAvailable)
    assert refusal.field == "input.nsfw"


def test_every_graph_fits_the_node_interfaces() -> None:
    for graph in graphs(dev(num_images=2)):
        require_valid(graph, committed())
    other = JobRequest(job_id="j1", attempt=1, input=schnell(), seed=5)
    for graph in SCHNELL.graphs(other, MODELS):
        require_valid(graph, committed())


def test_weights_come_from_the_model_table() -> None:
    (graph,) = graphs(dev())
    (other,) = SCHNELL.graphs(JobRequest(job_id="j1", attempt=1, input=schnell(), seed=5), MODELS)

    assert graph["unet"].inputs["unet_name"] == "flux1-dev.safetensors"
    assert other["checkpoint"].inputs["ckpt_name"] == "flux1-schnell-fp8.safetensors"


def test_a_table_without_the_weights_refuses_the_job() -> None:
    empty = ModelTable.model_validate({"weights": {}, "sets": {}})

    with pytest.raises(MissingModel):
        DEV.graphs(job(dev()), empty)


def test_every_picture_has_its_own_seed_and_the_first_one_the_jobs() -> None:
    seeds = [graph["sampler"].inputs["seed"] for graph in graphs(dev(num_images=3), seed=0)]

    assert seeds == [0, output_seed(0, 1), output_seed(0, 2)]


def test_no_two_prompts_save_under_one_prefix() -> None:
    def prefixes(**changes: Any) -> set[Any]:
        return {
            graph["save"].inputs["filename_prefix"]
            for graph in graphs(dev(num_images=8), **changes)
        }

    every = [prefixes(), prefixes(attempt=2), prefixes(job_id="j2")]

    assert len(set.union(*every)) == 24
    assert all(prefix.startswith("ryla/j1/a1/") for prefix in every[0])


def test_another_attempt_makes_the_same_graphs_but_for_the_prefix() -> None:
    first, second = (graphs(dev(), attempt=attempt)[0] for attempt in (1, 2))

    assert first.digest() == second.digest()
    assert first.api() != second.api()


def test_pictures_come_in_order_with_what_made_them() -> None:
    runner = Studio()

    images = list(DEV.run(job(dev(num_images=2)), MODELS, runner))

    assert [(part, parts) for _, part, parts in runner.rendered] == [(0, 2), (1, 2)]
    assert [each.body for each in images] == [b"picture 0", b"picture 1"]
    assert [each.name for each in images] == ["image-0", "image-1"]
    assert [each.seed for each in images] == [5, output_seed(5, 1)]
    assert [each.graph_sha256 for each in images] == [
        graph.digest() for graph, _, _ in runner.rendered
    ]
    vae = MODELS.weights("flux-dev")["vae"]
    assert images[0].weights[vae.file] == vae.sha256


def test_a_picture_says_how_it_is_to_be_delivered() -> None:
    request = dev(width=512, height=768, output_format="webp")

    (plain,) = DEV.run(job(request), MODELS, Studio())
    (told,) = DEV.run(job(dev(embed_prompt=True)), MODELS, Studio())

    assert (plain.size, plain.format, plain.embed_prompt) == ((512, 768), "webp", None)
    assert told.embed_prompt == "a cat"


@pytest.mark.parametrize("files", [0, 2])
def test_anything_but_one_file_for_a_picture_is_an_error(files: int) -> None:
    with pytest.raises(OutputsMissing, match=f"{files} files"):
        list(DEV.run(job(dev()), MODELS, Studio(files)))


def test_routes_exist() -> None:
    for kind in (DEV, SCHNELL):
        assert load_routes().route(kind.route).gpus
