from workflows import flux, instantid
from workflows.graph import Graph
from workflows.instantid import Identity, Sampling
from workflows.loaders import loaders

FLUX = {"unet": "dev.safetensors", "clip_l": "clip.safetensors", "t5": "t5.sft", "vae": "ae.sft"}
SDXL = {"checkpoint": "sdxl.sft", "instantid": "adapter.bin", "controlnet": "control.sft"}


def flux_graph(prompt: str = "a fox", seed: int = 1) -> Graph:
    return flux.text_to_image(
        FLUX,
        prompt=prompt,
        width=64,
        height=64,
        steps=1,
        guidance=3.5,
        seed=seed,
        filename_prefix="x",
        lora=("style.safetensors", 0.5),
    )


def test_a_graph_tells_which_files_its_loaders_read() -> None:
    assert [loader.files for loader in loaders(flux_graph())] == [
        ("dev.safetensors",),
        ("clip.safetensors", "t5.sft"),
        ("ae.sft",),
    ]


def test_every_loader_of_the_face_graph_is_found() -> None:
    graph = instantid.text_to_image(
        SDXL,
        prompt="a face",
        negative_prompt="",
        width=64,
        height=64,
        identity=Identity(reference="face.png", strength=1, controlnet_strength=1),
        sampling=Sampling(seed=1, steps=1, cfg=1, sampler_name="euler", scheduler="normal"),
        filename_prefix="x",
    )

    assert {file for loader in loaders(graph) for file in loader.files} == set(SDXL.values())
    assert "InstantIDFaceAnalysis" in {loader.class_type for loader in loaders(graph)}


def test_graphs_that_differ_elsewhere_have_equal_loaders() -> None:
    assert loaders(flux_graph("a fox", 1)) == loaders(flux_graph("a bear", 2))


def test_a_loader_that_takes_another_nodes_output_is_left_out() -> None:
    graph = Graph()
    name = graph.add("PrimitiveString", value="dev.safetensors")
    graph.add("UNETLoader", unet_name=name.out(), weight_dtype="default")

    assert loaders(graph) == ()


def test_a_node_that_stands_twice_counts_once() -> None:
    graph = Graph()
    graph.add("VAELoader", vae_name="ae.sft")
    graph.add("VAELoader", vae_name="ae.sft")

    assert len(loaders(graph)) == 1
    assert loaders(graph)[0].api() == {"class_type": "VAELoader", "inputs": {"vae_name": "ae.sft"}}
