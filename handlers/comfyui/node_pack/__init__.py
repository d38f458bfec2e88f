"""Nodes of our own, loaded by ComfyUI in its process: the only code of the product that imports
torch. ComfyUI finds them by `custom_nodes` in the file of model paths; graphs name them by
workflows/node_pack.py.

They rest on ComfyUI's semi-public hooks alone: operations, wrappers, callbacks, attachments and
options of a model, the `ui` of an output node, the handlers of a prompt. No function of ComfyUI is
replaced.
"""

from importlib import import_module
from typing import Any

from .attention_order import ATTENTION_ORDER
from .collection import COLLECTION
from .control_loader import RylaLoadControlNet
from .lora_loader import RylaLora
from .model_loader import RylaLoadCheckpoint, RylaLoadDiffusionModel
from .model_options import RylaModelOptions
from .pixels import RylaSavePixels
from .step_cache import RylaStepCache

NODE_CLASS_MAPPINGS = {
    "RylaLoadCheckpoint": RylaLoadCheckpoint,
    "RylaLoadControlNet": RylaLoadControlNet,
    "RylaLoadDiffusionModel": RylaLoadDiffusionModel,
    "RylaLora": RylaLora,
    "RylaModelOptions": RylaModelOptions,
    "RylaSavePixels": RylaSavePixels,
    "RylaStepCache": RylaStepCache,
}
NODE_DISPLAY_NAME_MAPPINGS = {
    "RylaLoadCheckpoint": "RYLA: load a checkpoint at a fixed place",
    "RylaLoadControlNet": "RYLA: load a ControlNet at a fixed place",
    "RylaLoadDiffusionModel": "RYLA: load a diffusion model straight to the card",
    "RylaLora": "RYLA: LoRA merged where the model lies",
    "RylaModelOptions": "RYLA: model as this card samples it",
    "RylaSavePixels": "RYLA: save pixels",
    "RylaStepCache": "RYLA: steps that take blocks from the step before",
}


def _before_a_prompt(request: dict[str, Any]) -> dict[str, Any]:
    ATTENTION_ORDER.settle()
    return COLLECTION.thaw_before_eviction(request)


def _listen() -> None:
    try:
        server = import_module("server")
    except ImportError:
        return  # imported by a test, outside ComfyUI
    server.PromptServer.instance.add_on_prompt_handler(_before_a_prompt)


_listen()
ATTENTION_ORDER.settle()
