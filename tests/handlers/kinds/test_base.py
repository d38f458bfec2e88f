"""What all kinds share."""

import pytest

from handlers.kinds.base import MAX_INPUT_KEY, is_input_key


@pytest.mark.parametrize("key", ["inputs/0a1b.png", "inputs/acme/Bild von Jörg.jpg"])
def test_a_key_under_inputs(key: str) -> None:
    assert is_input_key(key)


@pytest.mark.parametrize(
    "key",
    [
        "",
        "inputs/",
        "inputs",
        "jobs/a/out/a1/0.png",
        "inputs/../leases/a.json",
        "inputs/./a.png",
        "inputs//a.png",
        "inputs/a\x00b",
        "inputs/a\nb",
        "inputs/\ud800",
        "inputs/" + "é" * (MAX_INPUT_KEY // 2),
    ],
)
def test_what_a_store_would_not_take_as_it_stands_is_no_such_key(key: str) -> None:
    assert not is_input_key(key)
