import copy
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from config.errors import (
    GraphRejected,
    MissingModel,
    NodeMissing,
    NsfwNotAllowed,
    OutputsMissing,
    PromptRefused,
    RylaError,
)
from config.models import ModelTable, load_models
from config.settings import Settings
from handlers.kinds.base import JobRequest, OutputFile, PromptRun, Timings
from handlers.kinds.checkpoint import UNCENSORED_SET
from handlers.kinds.requirements import Supplies
from handlers.policy.rules import PolicySubject, likeness
from handlers.workflow_graph.allow_list import allow_list
from handlers.workflow_graph.caller_graph import MAX_NODES
from handlers.workflow_graph.kind import Workflow, WorkflowInput
from pipeline.contract.manifest import parse_manifest
from pipeline.dispatcher.preflight import check_work
from pipeline.runtime import load_runtime
from workflows.graph import Graph
from workflows.interfaces import FILE, committed

GRAPHS = Path(__file__).parent / "graphs"
KIND, MODELS = Workflow(), load_models()
RUNTIME = load_runtime(Settings(), "local")
KEY = "inputs/0.png"


def graph(name: str = "flux_base") -> dict[str, Any]:
    document: dict[str, Any] = json.loads((GRAPHS / f"{name}.json").read_text())
    return document


def request(workflow: dict[str, Any] | None = None, **fields: Any) -> WorkflowInput:
    usual = {"workflow": workflow or graph(), "prompt": "a cat"}
    return WorkflowInput.model_validate(usual | fields)


def built(workflow: dict[str, Any] | None = None, **fields: Any) -> Graph:
    [made] = KIND.graphs(JobRequest("job", 2, request(workflow, **fields), 7), MODELS)
    return made


def judged(workflow: dict[str, Any], **fields: Any) -> RylaError | None:
    """Why a job with this graph is refused before a GPU starts."""
    given = {"prompt": "a cat", "workflow": workflow, **fields}
    body = json.dumps({"version": 1, "model": "workflow", "input": given}).encode()
    try:
        check_work("job", parse_manifest(body), RUNTIME)
    except RylaError as error:
        return error
    return None


def changed(node: str, workflow: str = "flux_base", **inputs: Any) -> dict[str, Any]:
    document = graph(workflow)
    document[node]["inputs"] |= inputs
    return document


def with_node(class_type: str, **inputs: Any) -> dict[str, Any]:
    return {**graph(), "x": {"class_type": class_type, "inputs": inputs}}


# -- the graphs that its users have


@pytest.mark.parametrize(
    ("name", "fields", "error", "said"),
    [
        ("flux_base", {}, None, ""),
        ("sdxl_instantid", {"inputs": {"reference": KEY}}, None, ""),
        ("flux_instantid", {"inputs": {"reference": KEY}}, GraphRejected, "flux-instantid"),
        ("danrisi", {}, NodeMissing, "RES4LYF"),
        ("danrisi", {}, NodeMissing, "z-image-turbo"),
        ("danrisi_lora", {}, GraphRejected, "z-image-turbo"),
        ("z_image_simple", {}, GraphRejected, "smaller than min"),
    ],
)
def test_the_graphs_of_earlier_clients_pass_or_name_what_replaces_them(
    name: str, fields: Any, error: type[RylaError] | None, said: str
) -> None:
    refusal = judged(graph(name), **fields)

    assert type(refusal) is (error or type(None))
    assert refusal is None or said in f"{refusal.message} {refusal.hint}"


def test_danrisis_graph_is_taken_where_its_node_pack_is_installed() -> None:
    assert {node.class_type for node in built(graph("danrisi"))} >= {
        "ClownsharKSampler_Beta",
        "Sigmas Rescale",
    }


def test_nodes_of_a_pack_take_only_the_inputs_that_were_looked_at() -> None:
    refusal = judged(changed("10", "danrisi", extra_options="x"))

    assert isinstance(refusal, GraphRejected)
    assert "extra_options" in refusal.message


def test_z_images_simple_graph_passes_with_a_seed() -> None:
    assert judged(changed("8", "z_image_simple", seed="{{seed}}")) is None


def test_the_editors_format_is_refused_with_the_way_to_export() -> None:
    with pytest.raises(ValidationError, match=r"Export \(API\)"):
        request(graph("ui_format"), prompt=None)


# -- the form


@pytest.mark.parametrize(
    "workflow",
    [
        {},
        {"1": "x"},
        {"1": {"inputs": {}}},
        {"1": {"class_type": 3, "inputs": {}}},
        {"1": {"class_type": "SaveImage"}},
        {"1": {"class_type": "SaveImage", "inputs": []}},
        {"1": {"class_type": "SaveImage", "inputs": {"a": {"b": 1}}}},
        {"1": {"class_type": "SaveImage", "inputs": {"a": [1, 2, 3]}}},
        {"1": {"class_type": "SaveImage", "inputs": {"a": ["2", -1]}}},
        {"1": {"class_type": "SaveImage", "inputs": {"a": ["2", True]}}},
        {"1": {"class_type": "SaveImage", "inputs": {"a": "x" * 8001}}},
        {"../1": {"class_type": "SaveImage", "inputs": {}}},
        {"1/2": {"class_type": "SaveImage", "inputs": {}}},
        {"": {"class_type": "SaveImage", "inputs": {}}},
        {str(n): {"class_type": "SaveImage", "inputs": {}} for n in range(MAX_NODES + 1)},
    ],
)
def test_what_is_no_graph_in_api_format_is_refused(workflow: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        WorkflowInput.model_validate({"workflow": workflow})


def test_a_graph_of_the_largest_size_is_taken() -> None:
    nodes = {
        str(n): {"class_type": "SaveImage", "inputs": {"filename_prefix": "x"}}
        for n in range(MAX_NODES)
    }
    assert len(WorkflowInput.model_validate({"workflow": nodes}).workflow) == MAX_NODES


def test_what_the_editor_notes_beside_a_node_is_left_out() -> None:
    noted = graph()
    noted["9"]["_meta"] = {"title": "Save"}

    assert built(noted).digest() == built().digest()


@pytest.mark.parametrize(
    ("fields", "placeholder"),
    [({"prompt": None}, "{{prompt}}"), ({"prompt": "a cat"}, "a dog")],
)
def test_a_prompt_and_its_place_come_together(fields: Any, placeholder: str) -> None:
    with pytest.raises(ValidationError, match="prompt"):
        request(changed("4", text=placeholder), **fields)


def test_only_the_placeholder_becomes_the_prompt() -> None:
    made = built(prompt="a cat, {{seed}}")

    assert made["4"].inputs["text"] == "a cat, {{seed}}"
    assert made["5"].inputs["text"] == "blurry, low quality"
    assert made["7"].inputs["seed"] == 7


# -- what it may touch


@pytest.mark.parametrize(
    "class_type",
    ["LoadLatent", "LoadImageOutput", "LoadVideo", "LoadImageDataSetFromFolder", "SaveLatent",
     "SaveLoRA", "CheckpointSave", "SaveImageDataSetToFolder", "TrainLoraNode", "PreviewAny",
     "DiffusersLoader", "LoraLoader", "LoraLoaderModelOnly", "SaveWEBM", "PrimitiveInt",
     "StringConcatenate", "GetImageSize", "TorchCompileModel", "WebcamCapture", "ExecPython"],
)  # fmt: skip
def test_other_nodes_are_refused_by_name(class_type: str) -> None:
    refusal = judged(with_node(class_type))

    assert isinstance(refusal, GraphRejected)
    assert refusal.code == "graph_rejected"
    assert refusal.value == class_type
    assert refusal.hint


@pytest.mark.parametrize(
    "name", ["flux1-dev", "../flux1-dev.safetensors", "/etc/passwd", "ae.safetensors", 5, ["4", 0]]
)
def test_weights_are_those_of_the_table_and_their_folder(name: Any) -> None:
    refusal = judged(changed("1", unet_name=name))

    assert isinstance(refusal, MissingModel)
    assert "flux1-dev.safetensors" in str(refusal.hint)


def test_a_weight_that_is_not_named_is_refused() -> None:
    bare = graph()
    del bare["1"]["inputs"]["unet_name"]

    assert isinstance(judged(bare), MissingModel)


def test_a_file_is_called_by_its_name_whichever_version_of_it_is_in_use(tmp_path: Path) -> None:
    file = tmp_path / "models.toml"
    file.write_text('[weights.ae]\nfile = "afc8e28272cd/ae.safetensors"')
    job = JobRequest("job", 2, request(), 7)

    [made] = KIND.graphs(job, load_models(file))
    [usual] = KIND.graphs(job, MODELS)

    names = [
        node.inputs["vae_name"]
        for graph in (usual, made)
        for node in graph
        if "vae_name" in node.inputs
    ]
    assert names == ["ae.safetensors", "afc8e28272cd/ae.safetensors"]


@pytest.mark.parametrize("prefix", ["/etc/x", "../../x", "a/../../b", "%date%", "x", None])
def test_files_are_saved_under_the_jobs_own_name(prefix: str | None) -> None:
    workflow = changed("9", filename_prefix=prefix)
    if prefix is None:
        del workflow["9"]["inputs"]["filename_prefix"]

    assert built(workflow)["9"].inputs["filename_prefix"] == "ryla/job/a2/8"


def test_every_node_that_saves_has_a_prefix_of_its_own() -> None:
    two = {**graph(), "9:1": graph()["9"], "9.1": graph()["9"]}
    prefixes = [node.inputs["filename_prefix"] for node in built(two) if "Save" in node.class_type]

    assert len(set(prefixes)) == 3
    assert all(re.fullmatch(r"ryla/job/a2/\d+", prefix) for prefix in prefixes)


@pytest.mark.parametrize(
    ("image", "inputs"),
    [
        ("face", {}),
        ("face", {"other": KEY}),
        ("face", {"face": KEY, "other": KEY}),
        ("face", {"face": "/etc/passwd"}),
        ("face", {"face": "jobs/1/out/a1/image-0.png"}),
        ("../x.png", {}),
        (["4", 0], {}),
    ],
)
def test_pictures_are_those_of_the_job_and_no_other(image: Any, inputs: dict[str, str]) -> None:
    workflow = {**graph(), "x": {"class_type": "LoadImage", "inputs": {"image": image}}}
    with pytest.raises(ValidationError, match="inputs"):
        request(workflow, inputs=inputs)


@pytest.mark.parametrize(
    ("node", "inputs"),
    [
        ("6", {"width": 4097}),
        ("6", {"batch_size": 9}),
        ("6", {"width": ["4", 0]}),
        ("6", {"width": "1024"}),
        ("6", {"width": None}),
        ("7", {"steps": 101}),
    ],
)
def test_sizes_have_limits(node: str, inputs: Any) -> None:
    refusal = judged(changed(node, **inputs))

    assert isinstance(refusal, GraphRejected)
    assert next(iter(inputs)) in refusal.message


@pytest.mark.parametrize("link", [["99", 0], ["8", 0]])
def test_links_to_nowhere_and_in_circles_are_refused(link: list[Any]) -> None:
    assert isinstance(judged(changed("7", latent_image=link)), GraphRejected)


def test_instantid_is_traced_to_its_model_through_patches() -> None:
    patched = graph("flux_instantid")
    patched["p"] = {
        "class_type": "ModelSamplingFlux",
        "inputs": {
            "model": ["1", 0],
            "max_shift": 1.15,
            "base_shift": 0.5,
            "width": 8,
            "height": 8,
        },
    }
    patched["14"]["inputs"]["model"] = ["p", 0]
    refusal = judged(patched, inputs={"reference": KEY})

    assert isinstance(refusal, GraphRejected)
    assert "SDXL" in refusal.message


# -- what can only fail


def empty(**inputs: Any) -> dict[str, Any]:
    size = {"width": 256, "height": 256, "batch_size": 1}
    return {
        "1": {"class_type": "EmptyLatentImage", "inputs": size},
        "2": {"class_type": "VAEDecode", "inputs": {"samples": ["1", 0], **inputs}},
        "3": {"class_type": "SaveImage", "inputs": {"images": ["2", 0], "filename_prefix": "x"}},
    }


def decoded(**inputs: Any) -> dict[str, Any]:
    vae = {"class_type": "VAELoader", "inputs": {"vae_name": "ae.safetensors"}}
    return {**empty(**{"vae": ["4", 0], **inputs}), "4": vae}


@pytest.mark.parametrize(
    ("workflow", "said", "instead"),
    [
        (empty(vae=None), "VAEDecode (node 2): vae is null", "VAELoader"),
        (decoded(vae="ae.safetensors"), 'vae is "ae.safetensors"', '["4", 0]'),
        (decoded(mask=["1", 0]), "no input 'mask'", "Leave it out"),
        ({"3": {"class_type": "EmptyImage", "inputs": {"width": 512, "height": 512,
                                                       "batch_size": 1, "color": 0}},
          "4": {"class_type": "PreviewImage", "inputs": {"images": ["3", 0]}}},
         "saves nothing: node 4", "SaveImage"),
        ({"3": empty()["1"]}, "saves nothing", "SaveImage"),
    ],
)  # fmt: skip
def test_graphs_that_can_only_fail_are_refused_with_what_to_write_instead(
    workflow: dict[str, Any], said: str, instead: str
) -> None:
    assert judged(decoded(), prompt=None) is None
    refusal = judged(workflow, prompt=None)

    assert isinstance(refusal, GraphRejected)
    assert not refusal.retryable
    assert said in refusal.message
    assert instead in str(refusal.hint)


# -- policy


def test_every_text_of_the_graph_is_checked() -> None:
    [positive, negative] = [
        text for text in KIND.prompts(request(prompt="a cat")) if "cat" in text or "blurry" in text
    ]
    assert (positive, negative) == ("a cat", "blurry, low quality")
    hidden = request(changed("5", text="nude child"))
    asked = "\n".join(KIND.prompts(hidden))

    assert "nude child" in asked
    with pytest.raises(PromptRefused):
        RUNTIME.policy.require(_asked(KIND.prompts(hidden)))


def _asked(prompts: Sequence[str]) -> PolicySubject:
    return PolicySubject("acme", nsfw=False, consent=False, prompts=prompts, likeness=None)


def test_a_picture_counts_as_a_likeness() -> None:
    given = request(graph("sdxl_instantid"), inputs={"reference": KEY})

    assert likeness(given) == "input.inputs"


def test_the_uncensored_checkpoint_needs_nsfw() -> None:
    row = MODELS.weights_by_name["flux1-dev"].model_copy(
        update={"name": "own", "file": "own.safetensors"}
    )
    models = MODELS.model_copy(
        update={
            "sets": {**MODELS.sets, UNCENSORED_SET: {**MODELS.sets["flux-dev"], "unet": "own"}},
            "weights_by_name": {**MODELS.weights_by_name, "own": row},
        }
    )

    def admitted(models: ModelTable, unet: str, nsfw: bool) -> Sequence[Graph]:
        given = request(changed("1", unet_name=unet), nsfw=nsfw)
        return KIND.graphs(JobRequest("job", 1, given, 7), models)

    with pytest.raises(NsfwNotAllowed):
        admitted(models, "own.safetensors", nsfw=False)
    assert admitted(models, "own.safetensors", nsfw=True)
    assert admitted(models, "flux1-dev.safetensors", nsfw=False)


# -- running


class Studio:
    def __init__(self, *files: str) -> None:
        self.rendered: list[Graph] = []
        self.uploaded: dict[str, bytes] = {}
        self._files = files

    def render(
        self, graph: Graph, *, part: int, parts: int, then: Graph | None = None
    ) -> PromptRun:
        self.rendered.append(graph)
        files = [OutputFile("9", name, name.encode()) for name in self._files]
        return PromptRun("p", files, Timings(sampling=1.0))

    def upload(self, body: bytes, name: str) -> str:
        self.uploaded[f"up-{name}"] = body
        return f"up-{name}"


def run(runner: Any, given: WorkflowInput, images: dict[str, bytes] | None = None) -> Any:
    job = JobRequest("job", 1, given, 7, Supplies(images=images or {}))
    return list(KIND.run(job, MODELS, runner))


def test_every_saved_file_is_an_output_and_the_time_counts_once() -> None:
    runner = Studio("a_00001_.png", "a_00002_.mp4")
    first, second = run(runner, request(output_format="webp"))

    assert (first.saved_as, second.saved_as) == ("a_00001_.png", "a_00002_.mp4")
    assert (first.name, second.name) == ("output-0", "output-1")
    assert (first.format, first.size, first.seed) == ("webp", None, 7)
    assert (first.timings + second.timings).sampling == 1.0
    assert first.graph_sha256 == runner.rendered[0].digest()
    assert "flux1-dev.safetensors" in first.weights


def test_pictures_are_uploaded_and_loaded_by_the_name_they_got() -> None:
    runner = Studio("a.png")
    given = request(graph("sdxl_instantid"), inputs={"reference": KEY})
    assert KIND.required_inputs(given, MODELS).images == {"inputs.reference": KEY}
    run(runner, given, {"inputs.reference": b"face"})

    [name] = runner.uploaded
    assert runner.uploaded[name] == b"face"
    assert runner.rendered[0]["13"].inputs["image"] == name


def test_a_graph_that_saved_nothing_made_nothing() -> None:
    with pytest.raises(OutputsMissing):
        run(Studio(), request())


# -- the allow-list against the interfaces


def test_what_is_allowed_exists_and_keeps_the_rule() -> None:
    allowed, nodes = allow_list(), committed().nodes
    named = {*allowed.nodes, *allowed.saves, *allowed.images, *allowed.weights}
    assert named <= set(nodes)
    for name in named:
        node = nodes[name]
        files = {
            key for key, spec in {**node.required, **node.optional}.items() if spec.type == FILE
        }
        checked = {*allowed.weights.get(name, ()), allowed.images.get(name)} - {None}
        assert files == checked, name
        assert not {"INT", "FLOAT", "STRING", "BOOLEAN", "COMBO", "*"} & set(node.output), name
        assert (name in allowed.saves) == ("filename_prefix" in node.required), name
    assert not named & set(allowed.refused)


def test_limits_name_inputs_that_exist() -> None:
    nodes = committed().nodes
    inputs = {
        key
        for name in allow_list().nodes
        for key in {**nodes[name].required, **nodes[name].optional}
    }
    assert set(allow_list().limits) <= inputs


def test_building_does_not_change_the_request() -> None:
    given = request()
    before = copy.deepcopy(given.workflow)
    KIND.graphs(JobRequest("job", 1, given, 7), MODELS)

    assert given.workflow == before
