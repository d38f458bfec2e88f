import json
from importlib.resources import files
from typing import Any

from workflows.interfaces import (
    ENUM,
    FILE,
    InputSpec,
    committed,
    dumps,
    from_object_info,
    from_table,
    to_table,
)


def live(inputs: dict[str, Any], name: str = "Some") -> dict[str, Any]:
    node = {
        "input": inputs,
        "output": ["MODEL"],
        "output_is_list": [False],
        "output_node": False,
        "python_module": "nodes",
    }
    return {name: node}


def spec(raw: list[Any], input_name: str = "x", node: str = "Some") -> InputSpec:
    table = from_object_info(live({"required": {input_name: raw}}, node), "1")
    return table.nodes[node].required[input_name]


def test_reading_and_writing_the_committed_table_are_inverse() -> None:
    text = files("workflows").joinpath("node_interfaces.json").read_text("utf-8")

    assert dumps(from_table(json.loads(text))) == text
    assert from_table(to_table(committed())) == committed()


def test_the_committed_table_knows_what_the_flux_graphs_need() -> None:
    nodes = committed().nodes

    assert committed().comfyui_version == "0.33.0"
    assert nodes["KSampler"].required["steps"].max == 10000
    assert nodes["UNETLoader"].required["unet_name"].type == FILE
    assert nodes["UNETLoader"].folder("unet_name") == "diffusion_models"
    assert nodes["SaveImage"].output_node


def test_both_ways_to_write_an_enum_are_read() -> None:
    old = spec([["a", "b"], {"default": "b"}])
    new = spec(["COMBO", {"options": ["a", "b"], "default": "b"}])

    assert old == new == InputSpec(ENUM, ("a", "b"), default="b")


def test_an_enum_of_which_several_may_be_chosen_is_kept_as_one() -> None:
    several = spec(["COMBO", {"options": ["a", "b"], "multiselect": True}])
    table = to_table(
        from_object_info(live({"required": {"x": ["COMBO", {"options": ["a"]}]}}), "1")
    )

    assert several == InputSpec(ENUM, ("a", "b"), multiselect=True)
    assert "multiselect" not in table["nodes"]["Some"]["required"]["x"]


def test_a_file_chooser_is_the_same_whatever_files_there_are() -> None:
    empty = spec([[], {}], "lora_name", "LoraLoader")
    filled = spec([["x.safetensors"], {}], "lora_name", "LoraLoader")
    uploads = spec([["x.png"], {"image_upload": True}])

    assert empty == filled == uploads == InputSpec(FILE)


def test_choices_that_are_no_files_stay() -> None:
    vae = spec([["ae.safetensors", "pixel_space"], {}], "vae_name", "VAELoader")

    assert vae == InputSpec(FILE, builtin=("pixel_space",))


def test_ranges_are_kept_and_tooltips_are_not() -> None:
    raw = ["INT", {"default": 20, "min": 1, "max": 9, "step": 2, "tooltip": "..."}]

    assert spec(raw) == InputSpec("INT", default=20, min=1, max=9, step=2)


def test_a_number_whose_default_is_zero_keeps_it() -> None:
    assert spec(["INT", {"default": 0, "min": 0}]) == InputSpec("INT", default=0, min=0)


def test_dynamic_inputs_are_read() -> None:
    option = {"key": "by width", "inputs": {"required": {"width": ["INT", {"min": 0}]}}}

    combo = spec(["COMFY_DYNAMICCOMBO_V3", {"options": [option]}])

    assert combo.options[0].key == "by width"
    assert combo.options[0].required == {"width": InputSpec("INT", min=0)}
    grown = spec(["COMFY_AUTOGROW_V3", {"template": {"prefix": "image", "min": 2, "input": {}}}])
    assert grown.template == {"prefix": "image", "min": 2}
