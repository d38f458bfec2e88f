"""Graphs that ComfyUI refuses as a whole or in part. Its answers are recorded, by these titles."""

import json
from typing import Any

from tests.support.recordings import recording

FLUX = recording("flux_cold").graph
FILES = {
    "diffusion_models": [
        "micro-flux1-dev.safetensors",
        "micro-z_image_turbo.safetensors",
    ],
    "text_encoders": [
        "micro-clip_l.safetensors",
        "micro-qwen_3_4b.safetensors",
        "micro-t5xxl.safetensors",
    ],
    "input": [],
}
"""What lay in the folders of the recorded server."""


def changed(node: str, **inputs: Any) -> dict[str, Any]:
    """FLUX with other inputs at one node; None takes an input away."""
    graph = json.loads(json.dumps(FLUX))
    graph[node]["inputs"].update(inputs)
    graph[node]["inputs"] = {k: v for k, v in graph[node]["inputs"].items() if v is not None}
    return dict(graph)


def without(node: str, key: str | None = None) -> dict[str, Any]:
    graph = json.loads(json.dumps(FLUX))
    if key is None:
        del graph[node]
    else:
        del graph[node][key]
    return dict(graph)


def and_another(node_id: str, class_type: str, **inputs: Any) -> dict[str, Any]:
    return {**FLUX, node_id: {"class_type": class_type, "inputs": inputs}}


def bad_besides(graph: dict[str, Any], node: str, **inputs: Any) -> dict[str, Any]:
    copy: dict[str, Any] = json.loads(json.dumps(graph))
    copy[node]["inputs"].update(inputs)
    return copy


def titled(node: str, class_type: str | None) -> dict[str, Any]:
    """FLUX with a node of another class, or of none, that has a title."""
    named = {"inputs": {}, "_meta": {"title": "My node"}}
    return {**FLUX, node: named if class_type is None else {"class_type": class_type, **named}}


TWO_BAD = changed("2", clip_name1="nah.safetensors")
TWO_BAD["1"] = changed("1", unet_name="nope.safetensors")["1"]
# Reached by one way only: ComfyUI looks at a node's inputs in another order each time it starts.
CYCLE = changed("9", positive=["5", 0], negative=["5", 0])
CYCLE["5"]["inputs"]["conditioning"] = ["8", 0]
CYCLE["8"]["inputs"]["conditioning"] = ["5", 0]
LOADS = and_another("li", "LoadImage", image="nope.png")
LOADS["s2"] = {
    "class_type": "SaveImage",
    "inputs": {"images": ["li", 0], "filename_prefix": "x"},
}
GRAPHS: dict[str, dict[str, Any]] = {
    "prompt empty dict": {},
    "unknown class": {**FLUX, "9": {"class_type": "NoSuchNode", "inputs": {}}},
    "no class_type": without("9", "class_type"),
    "unknown class with a title": titled("9", class_type="NoSuchNode"),
    "no class_type with a title": titled("9", class_type=None),
    "no inputs key": without("9", "inputs"),
    "no output node": without("save"),
    "missing required input": changed("9", seed=None),
    "missing link input": changed("9", model=None),
    "model file not in list": changed("1", unet_name="nope.safetensors"),
    "enum not in list": changed("9", sampler_name="nope"),
    "int too big": changed("9", steps=99999),
    "int too small": changed("9", steps=0),
    "int not convertible": changed("9", steps="abc"),
    "wrong link type": changed("9", model=["2", 0]),
    "link to missing node": changed("9", latent_image=["777", 0]),
    "link index out of range": changed("9", model=["1", 5]),
    "cycle": changed("4", clip=["4", 0]),
    "cycle of one": changed("8", conditioning=["8", 0]),
    "cycle of two": CYCLE,
    "cycle of two, one of them bad besides": bad_besides(CYCLE, "5", guidance=1000.0),
    "cycle of two, and a bad node behind it": bad_besides(CYCLE, "9", steps=0),
    "cycle before two outputs": {**CYCLE, "other": FLUX["save"]},
    "enum a number": changed("9", scheduler=3),
    "two outputs, one bad: partial accept": and_another("bad", "SaveImage", images=["10", 0]),
    "two bad nodes": TWO_BAD,
    "missing LoadImage file": LOADS,
    "LoadImage outside its folder": bad_besides(LOADS, "li", image="../secret/s.png"),
}

BODIES: dict[str, Any] = {
    **{title: {"prompt": graph} for title, graph in GRAPHS.items()},
    "UI-format workflow": {"prompt": {"nodes": [], "links": []}},
    "prompt id without hyphens": {"prompt": FLUX, "prompt_id": "0" * 32},
}
"""What is posted."""
