import pytest

from tests.workflows.test_loaders import SDXL, flux_graph
from workflows import instantid
from workflows.graph import Graph, Link
from workflows.instantid import Identity, Sampling
from workflows.node_pack import READS_NO_WEIGHTS, Attention, Speed, with_own_nodes


def face_graph(end_at: float = 1.0) -> Graph:
    return instantid.text_to_image(
        SDXL,
        prompt="a face",
        negative_prompt="",
        width=64,
        height=64,
        identity=Identity("face.png", strength=1, controlnet_strength=1, end_at=end_at),
        sampling=Sampling(seed=1, steps=1, cfg=1, sampler_name="euler", scheduler="normal"),
        filename_prefix="ryla/job/face",
    )


@pytest.mark.parametrize("graph", [flux_graph(), face_graph()], ids=["flux", "face"])
def test_pixels_are_saved_bare_under_the_same_id_and_name(graph: Graph) -> None:
    before, after = graph["save"], with_own_nodes(graph, Attention.COMFYUI)["save"]

    assert after.class_type == "RylaSavePixels"
    assert after.inputs == before.inputs


def test_a_picture_that_goes_on_from_where_it_is_saved_is_saved_by_comfyui() -> None:
    graph = flux_graph()
    turned = graph.add("ImageFlip", image=Link("save", 0), flip_method="x-axis: vertically")
    graph.add("SaveImage", id="again", images=turned.out(), filename_prefix="x")
    own = with_own_nodes(graph, Attention.COMFYUI)

    assert own["save"].class_type == "SaveImage"
    assert own["again"].class_type == "RylaSavePixels"


def test_a_sampler_gets_the_attention_of_the_card() -> None:
    own = with_own_nodes(flux_graph(), Attention.TORCH)
    options = own["sampler-model"]

    assert own["sampler"].inputs["model"] == options.out()
    assert options.inputs["model"] == flux_graph()["sampler"].inputs["model"]
    assert (options.inputs["attention"], options.inputs["sigmas_on_processor"]) == ("torch", False)


def test_where_the_card_wants_nothing_else_the_sampler_stays_as_it_is() -> None:
    own = with_own_nodes(flux_graph(), Attention.COMFYUI)

    assert own["sampler"].inputs == flux_graph()["sampler"].inputs
    assert "sampler-model" not in own.api()


def test_a_model_that_instantid_patched_gets_its_sigmas_on_the_processor() -> None:
    options = with_own_nodes(face_graph(), Attention.COMFYUI)["sampler-model"]

    assert options.inputs["model"] == Link("instantid", 0)
    assert options.inputs["sigmas_on_processor"] is True


def test_nothing_else_changes() -> None:
    graph = face_graph()
    ours = {"save", "sampler", "sampler-model"}
    own = with_own_nodes(graph, Attention.TORCH).api()

    assert {id: node for id, node in own.items() if id not in ours} == {
        id: node for id, node in graph.api().items() if id not in ours
    }


def test_at_speed_models_and_loras_are_loaded_by_our_own_nodes() -> None:
    graph = flux_graph()
    own = with_own_nodes(graph, Attention.COMFYUI, Speed.COMPILED)

    assert own["unet"].class_type == "RylaLoadDiffusionModel"
    assert own["unet"].inputs == {
        "unet_name": graph["unet"].inputs["unet_name"],
        "speed": "compiled",
    }
    assert own["lora"].class_type == "RylaLora"
    assert own["lora"].inputs == graph["lora"].inputs
    assert own["clip"] == graph["clip"]


def test_a_checkpoint_is_loaded_by_our_own_node_too() -> None:
    own = with_own_nodes(face_graph(), Attention.COMFYUI, Speed.COMPILED)

    assert own["checkpoint"].class_type == "RylaLoadCheckpoint"


def test_a_model_that_is_to_be_cast_is_left_to_comfyui() -> None:
    graph = Graph()
    graph.add("UNETLoader", id="unet", unet_name="dev.safetensors", weight_dtype="fp8_e4m3fn")

    assert (
        with_own_nodes(graph, Attention.COMFYUI, Speed.COMPILED)["unet"].class_type == "UNETLoader"
    )


def test_a_graph_with_a_node_that_may_read_weights_is_loaded_by_comfyui() -> None:
    """Ours may have the LoRA of another job merged into them."""
    graph = flux_graph()
    graph.add("ModelSave", model=graph["unet"].out(), filename_prefix="x")

    assert (
        with_own_nodes(graph, Attention.COMFYUI, Speed.COMPILED)["unet"].class_type == "UNETLoader"
    )


def test_every_class_of_our_own_graphs_leaves_weights_alone() -> None:
    graphs = [flux_graph(), face_graph()]

    assert {node.class_type for graph in graphs for node in graph} <= READS_NO_WEIGHTS


@pytest.mark.parametrize(("end_at", "recorded"), [(1.0, True), (0.8, False)])
def test_steps_are_recorded_where_each_is_as_the_others(end_at: float, recorded: bool) -> None:
    graph = face_graph(end_at)

    own = with_own_nodes(graph, Attention.COMFYUI, Speed.EAGER)

    assert own["sampler-model"].inputs["recorded"] is recorded
    assert own["controlnet"].class_type == "RylaLoadControlNet"
    assert own["controlnet"].inputs == graph["controlnet"].inputs


def test_nothing_is_recorded_of_weights_that_comfyui_moves() -> None:
    options = with_own_nodes(face_graph(), Attention.COMFYUI)["sampler-model"]

    assert options.inputs["recorded"] is False
