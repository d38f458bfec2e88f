"""Where a job ran, as its result tells it."""

from pipeline.contract.result import Result

STANDIN = "standin"
"""No platform: what no model made costs nobody anything."""


def platform_of(result: Result) -> str:
    """That its last event names, since a job may have gone from one to another; empty where none
    does."""
    if is_standin(result):
        return STANDIN
    found = (event.properties.get("engine") for event in reversed(result.events))
    return next((str(name) for name in found if name), "")


def is_standin(result: Result) -> bool:
    return result.provenance is not None and result.provenance.engine == STANDIN
