"""Node interfaces: what a node class takes and what it gives, as one ComfyUI version has it.

The committed table is written from a live server: `from_object_info` reads its /object_info, and
`to_table` and `from_table` are each other's inverse.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any

ENUM = "ENUM"
"""Type of an input that takes one of a fixed list of values."""
FILE = "FILE"
"""Type of an input that takes a file name: which ones there are is the server's matter."""
AUTOGROW = "COMFY_AUTOGROW_V3"
DYNAMIC_COMBO = "COMFY_DYNAMICCOMBO_V3"
NUMBERS = ("INT", "FLOAT")

FOLDERS: Mapping[str, str] = {
    "audio_encoder_name": "audio_encoders",
    "ckpt_name": "checkpoints",
    "clip_name": "text_encoders",
    "clip_name1": "text_encoders",
    "clip_name2": "text_encoders",
    "clip_name3": "text_encoders",
    "clip_name4": "text_encoders",
    "config_name": "configs",
    "control_net_name": "controlnet",
    "gligen_name": "gligen",
    "hypernetwork_name": "hypernetworks",
    "image": "input",
    "instantid_file": "instantid",
    "lora_name": "loras",
    "photomaker_model_name": "photomaker",
    "style_model_name": "style_models",
    "text_encoder": "text_encoders",
    "unet_name": "diffusion_models",
    "vae_name": "vae",
}
"""Input name -> models folder (or `input`) that its choices come from."""

_CLASS_FOLDERS: Mapping[tuple[str, str], str] = {
    ("CLIPVisionLoader", "clip_name"): "clip_vision",
    ("FrameInterpolationModelLoader", "model_name"): "frame_interpolation",
    ("LatentUpscaleModelLoader", "model_name"): "latent_upscale_models",
    ("LoadBackgroundRemovalModel", "bg_removal_name"): "background_removal",
    ("LoadDA3Model", "model_name"): "geometry_estimation",
    ("LoadImageDataSetFromFolder", "folder"): "",
    ("LoadImageTextDataSetFromFolder", "folder"): "",
    ("LoadMediaPipeFaceLandmarker", "model_name"): "detection",
    ("LoadMoGeModel", "model_name"): "geometry_estimation",
    ("LoadTrainingDataset", "folder_name"): "",
    ("LoadVideoDataSetFromFolder", "folder"): "",
    ("LoadVideoTextDataSetFromFolder", "folder"): "",
    ("ModelPatchLoader", "name"): "model_patches",
    ("OpticalFlowLoader", "model_name"): "optical_flow",
    ("TrainLoraNode", "existing_lora"): "loras",
    ("UpscaleModelLoader", "model_name"): "upscale_models",
}
"""As FOLDERS, for names that mean it in one class only; empty for what is in no such folder."""

_UPLOADS = ("image_upload", "video_upload", "audio_upload", "remote")
_BUILTIN = ("pixel_space", "[None]")
_KEPT = ("min", "max", "step", "default")


@dataclass(frozen=True)
class InputSpec:
    type: str
    """ComfyUI's name of it, such as `INT` or `MODEL`, or one of those above."""
    enum: tuple[Any, ...] = ()
    """Of ENUM: the values, in ComfyUI's order."""
    multiselect: bool = False
    """Of ENUM: whether a list of its values is taken too."""
    builtin: tuple[str, ...] = ()
    """Choices of a FILE input that are there without a file."""
    default: Any = None
    min: float | None = None
    """Least value of a number, itself allowed, as is `max`, the greatest. `step` is not checked."""
    max: float | None = None
    step: float | None = None
    force_input: bool = False
    """Whether it takes a link only."""
    template: Mapping[str, Any] | None = None
    """Of AUTOGROW: prefix, min and max of the inputs that it stands for."""
    options: tuple["DynamicOption", ...] = ()
    """Of DYNAMIC_COMBO."""


@dataclass(frozen=True)
class DynamicOption:
    """One choice of a DYNAMIC_COMBO and the inputs that come with it."""

    key: str
    required: Mapping[str, InputSpec] = field(default_factory=dict)
    optional: Mapping[str, InputSpec] = field(default_factory=dict)


@dataclass(frozen=True)
class NodeInterface:
    name: str
    """Its class."""
    output: tuple[str, ...]
    """Type of each output, in the order of their numbers."""
    output_node: bool
    """Whether it is run for itself: ComfyUI walks a graph from these."""
    module: str
    """`nodes`, `comfy_extras.…`, or `custom_nodes.<pack>`."""
    required: Mapping[str, InputSpec] = field(default_factory=dict)
    optional: Mapping[str, InputSpec] = field(default_factory=dict)
    hidden: tuple[str, ...] = ()
    """Names of inputs that the server fills."""
    output_is_list: tuple[bool, ...] = ()
    """By output; empty where none is."""
    is_input_list: bool = False
    experimental: bool = False
    deprecated: bool = False

    def folder(self, input_name: str) -> str | None:
        """Where the choices of a FILE input come from, if that is known."""
        return _CLASS_FOLDERS.get((self.name, input_name)) or FOLDERS.get(input_name)


@dataclass(frozen=True)
class Interfaces:
    comfyui_version: str
    nodes: Mapping[str, NodeInterface]
    """By class."""


@cache
def committed() -> Interfaces:
    """The table that ships with this package."""
    text = files("workflows").joinpath("node_interfaces.json").read_text("utf-8")
    return from_table(json.loads(text))


def from_table(table: Mapping[str, Any]) -> Interfaces:
    nodes = {name: _node_from_table(name, row) for name, row in table["nodes"].items()}
    return Interfaces(table["comfyui_version"], nodes)


def to_table(interfaces: Interfaces) -> dict[str, Any]:
    return {
        "comfyui_version": interfaces.comfyui_version,
        "nodes": {name: _node_to_table(node) for name, node in interfaces.nodes.items()},
    }


def dumps(interfaces: Interfaces) -> str:
    """The table as JSON text, one node a line, so that a new version's changes can be read."""
    table = to_table(interfaces)
    rows = [
        f"{json.dumps(name)}: {json.dumps(row, separators=(',', ':'))}"
        for name, row in sorted(table["nodes"].items())
    ]
    version = json.dumps(table["comfyui_version"])
    return f'{{"comfyui_version": {version}, "nodes": {{\n' + ",\n".join(rows) + "\n}}\n"


def from_object_info(raw: Mapping[str, Any], comfyui_version: str) -> Interfaces:
    """Read a live server's /object_info, whatever files that server happens to have."""
    nodes = {name: _node_from_live(name, raw[name]) for name in sorted(raw)}
    return Interfaces(comfyui_version, nodes)


def _node_from_table(name: str, row: Mapping[str, Any]) -> NodeInterface:
    return NodeInterface(
        name=name,
        output=tuple(row["output"]),
        output_node=row["output_node"],
        module=row["module"],
        required=_specs_from_table(row.get("required", {})),
        optional=_specs_from_table(row.get("optional", {})),
        hidden=tuple(row.get("hidden", ())),
        output_is_list=tuple(row.get("output_is_list", ())),
        is_input_list=row.get("is_input_list", False),
        experimental=row.get("experimental", False),
        deprecated=row.get("deprecated", False),
    )


def _specs_from_table(rows: Mapping[str, Any]) -> dict[str, InputSpec]:
    return {name: _spec_from_table(row) for name, row in rows.items()}


def _spec_from_table(row: Mapping[str, Any]) -> InputSpec:
    options = [
        DynamicOption(
            option["key"],
            _specs_from_table(option["inputs"].get("required", {})),
            _specs_from_table(option["inputs"].get("optional", {})),
        )
        for option in row.get("options", ())
    ]
    return InputSpec(
        type=ENUM if "enum" in row else row["type"],
        enum=tuple(row.get("enum", ())),
        multiselect=row.get("multiselect", False),
        builtin=tuple(row.get("builtin", ())),
        default=row.get("default"),
        min=row.get("min"),
        max=row.get("max"),
        step=row.get("step"),
        force_input=row.get("force_input", False),
        template=row.get("template"),
        options=tuple(options),
    )


def _node_to_table(node: NodeInterface) -> dict[str, Any]:
    row: dict[str, Any] = {}
    for group, specs in (("required", node.required), ("optional", node.optional)):
        if specs:
            row[group] = {name: _spec_to_table(spec) for name, spec in specs.items()}
    if node.hidden:
        row["hidden"] = list(node.hidden)
    row["output"] = list(node.output)
    if node.output_is_list:
        row["output_is_list"] = list(node.output_is_list)
    row["output_node"] = node.output_node
    row |= {
        flag: True
        for flag in ("is_input_list", "experimental", "deprecated")
        if getattr(node, flag)
    }
    row["module"] = node.module
    return row


def _spec_to_table(spec: InputSpec) -> dict[str, Any]:
    row: dict[str, Any] = {"enum": list(spec.enum)} if spec.type == ENUM else {"type": spec.type}
    if spec.multiselect:
        row["multiselect"] = True
    if spec.builtin:
        row["builtin"] = list(spec.builtin)
    row |= {key: getattr(spec, key) for key in _KEPT if getattr(spec, key) is not None}
    if spec.force_input:
        row["force_input"] = True
    if spec.template is not None:
        row["template"] = dict(spec.template)
    if spec.type == DYNAMIC_COMBO:
        row["options"] = [_option_to_table(option) for option in spec.options]
    return row


def _option_to_table(option: DynamicOption) -> dict[str, Any]:
    groups = {"required": option.required, "optional": option.optional}
    inputs = {
        group: {name: _spec_to_table(spec) for name, spec in specs.items()}
        for group, specs in groups.items()
        if specs
    }
    return {"key": option.key, "inputs": inputs}


def _node_from_live(name: str, raw: Mapping[str, Any]) -> NodeInterface:
    inputs = raw["input"]
    is_list = tuple(bool(flag) for flag in raw.get("output_is_list") or ())
    return NodeInterface(
        name=name,
        output=tuple(raw["output"]),
        output_node=bool(raw["output_node"]),
        module=raw["python_module"],
        required=_specs_from_live(name, inputs.get("required") or {}),
        optional=_specs_from_live(name, inputs.get("optional") or {}),
        hidden=tuple(sorted(inputs.get("hidden") or ())),
        output_is_list=is_list if any(is_list) else (),
        is_input_list=bool(raw.get("input_is_list")),
        experimental=bool(raw.get("experimental")),
        deprecated=bool(raw.get("deprecated")),
    )


def _specs_from_live(node: str, raw: Mapping[str, Any]) -> dict[str, InputSpec]:
    return {name: _spec_from_live(node, name, value) for name, value in raw.items()}


def _spec_from_live(node: str, name: str, raw: Sequence[Any]) -> InputSpec:
    """Old nodes write an enum as [[values], options], new ones as ["COMBO", {"options": ...}]."""
    kind = raw[0]
    options: Mapping[str, Any] = raw[1] if len(raw) > 1 and isinstance(raw[1], dict) else {}
    if kind == "COMBO" and "options" in options:
        kind = options["options"]
    force_input = bool(options.get("forceInput"))
    if isinstance(kind, list):
        if _chooses_files(node, name, kind, options):
            builtin = tuple(value for value in kind if value in _BUILTIN)
            return InputSpec(FILE, builtin=builtin, force_input=force_input)
        return InputSpec(
            ENUM,
            tuple(kind),
            multiselect=bool(options.get("multiselect")),
            default=options.get("default"),
            force_input=force_input,
        )
    spec = InputSpec(
        kind,
        force_input=force_input,
        template=_template(options),
        options=tuple(_option_from_live(node, row) for row in options.get("options", ()))
        if kind == DYNAMIC_COMBO
        else (),
    )
    if kind not in (*NUMBERS, "BOOLEAN", "STRING"):
        return spec
    kept: dict[str, Any] = {key: options.get(key) for key in _KEPT}
    if kind == "STRING" and len(str(kept["default"])) > 60:
        kept["default"] = None  # a sample prompt, not a default that anybody relies on
    return InputSpec(kind, force_input=force_input, template=spec.template, **kept)


def _chooses_files(node: str, name: str, values: Sequence[Any], options: Mapping[str, Any]) -> bool:
    if not [value for value in values if value not in _BUILTIN]:
        return True
    known = name in FOLDERS or (node, name) in _CLASS_FOLDERS
    return known or any(option in options for option in _UPLOADS)


def _template(options: Mapping[str, Any]) -> dict[str, Any] | None:
    template = options.get("template")
    if template is None:
        return None
    return {key: template[key] for key in ("prefix", "min", "max", "names") if key in template}


def _option_from_live(node: str, raw: Mapping[str, Any]) -> DynamicOption:
    inputs = raw["inputs"]
    return DynamicOption(
        raw["key"],
        _specs_from_live(node, inputs.get("required") or {}),
        _specs_from_live(node, inputs.get("optional") or {}),
    )
