"""Nodes of our own, loaded by ComfyUI in its process: the only code of the product that imports
torch. ComfyUI finds them by `custom_nodes` in the file of model paths; graphs name them by
workflows/node_pack.py.

They rest on ComfyUI's semi-public hooks alone: wrappers and options of a model, the `ui` of an
output node, the handlers of a prompt. No function of ComfyUI is replaced.
"""

from importlib import import_module

from .collection import COLLECTION
from .model_options import RylaModelOptions
from .pixels import RylaSavePixels

NODE_CLASS_MAPPINGS = {
    "RylaModelOptions": RylaModelOptions,
    "RylaSavePixels": RylaSavePixels,
}
NODE_DISPLAY_NAME_MAPPINGS = {
    "RylaModelOptions": "RYLA: model as this card samples it",
    "RylaSavePixels": "RYLA: save pixels",
}


def _listen() -> None:
    try:
        server = import_module("server")
    except ImportError:
        return  # imported by a test, outside ComfyUI
    server.PromptServer.instance.add_on_prompt_handler(COLLECTION.thaw_before_eviction)


_listen()
