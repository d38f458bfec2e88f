"""Where a job ran, as its result tells it."""

from handlers.comfyui.info import STANDIN
from pipeline.contract.result import Result


def platform_of(result: Result) -> str:
    """That its last event names, since a job may have gone from one to another; empty where none
    does. The stand-in is a platform of its own: what no model made costs nobody anything."""
    if is_standin(result):
        return STANDIN
    found = (event.properties.get("engine") for event in reversed(result.events))
    return next((str(name) for name in found if name), "")


def is_standin(result: Result) -> bool:
    return result.provenance is not None and result.provenance.engine == STANDIN
