from typing import get_args

from handlers.kinds.registry import KINDS
from ryla_client import requests
from ryla_client._flags import kinds
from tools.client_types import FILES, PACKAGE


def test_the_types_are_those_of_the_schemas() -> None:
    stale = [
        name for name, render in FILES.items() if (PACKAGE / name).read_text("utf-8") != render()
    ]

    assert not stale, "run python -m tools.client_types"


def test_there_is_a_request_for_every_kind() -> None:
    assert kinds().keys() == KINDS.keys()
    assert len(get_args(requests.Request)) == len(KINDS)
