import json
from typing import Any

import pytest

from handlers.faces.head import Head
from handlers.faces.view import AskedView, Framing
from handlers.faces.view_note import noted_view, view_note


@pytest.mark.parametrize(
    "asked", [AskedView(Head(-35, 10, 5), Framing.HALF), AskedView(None), AskedView(Head())]
)
def test_a_view_is_read_back_from_its_note(asked: AskedView) -> None:
    assert noted_view(json.loads(json.dumps(view_note(asked)))) == asked


@pytest.mark.parametrize(
    "note",
    [
        None,
        "front",
        {},
        {"head": None},
        {"head": {"yaw": 99}, "framing": None},
        {"head": {"tilt": 1}, "framing": None},
        {"head": None, "framing": "wide"},
    ],
)
def test_anything_else_is_no_view(note: Any) -> None:
    assert noted_view(note) is None
