"""The asked view beside a graph, in its `extra_data`. ComfyUI does not look at it: a composition is
told its view in words. The stand-in, which reads no words, composes by it."""

from dataclasses import asdict
from typing import Any

from handlers.faces.head import Head
from handlers.faces.view import AskedView, Framing

VIEW_NOTE = "ryla_view"


def view_note(asked: AskedView) -> dict[str, Any]:
    """As JSON."""
    return {"head": None if asked.head is None else asdict(asked.head), "framing": asked.framing}


def noted_view(note: Any) -> AskedView | None:
    """What stands in such a note, or None for anything else."""
    if not isinstance(note, dict):
        return None
    try:
        head, framing = note["head"], note["framing"]
        return AskedView(
            None if head is None else Head(**head), None if framing is None else Framing(framing)
        )
    except (KeyError, TypeError, ValueError):
        return None
