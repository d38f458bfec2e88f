from types import SimpleNamespace
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="`make nodes` brings it")

from handlers.comfyui.node_pack.lora_loader import with_lora  # noqa: E402
from handlers.comfyui.node_pack.model_loader import MERGED, WANTED  # noqa: E402

pytestmark = pytest.mark.nodes


class Patcher:
    """A model of ComfyUI's, as far as LoRAs are asked of it."""

    def __init__(self, attachments: dict[str, Any], patches: dict[str, Any] | None = None) -> None:
        self.attachments, self.patches = attachments, patches or {}
        self.added: list[tuple[Any, float]] = []

    def clone(self) -> "Patcher":
        return Patcher(dict(self.attachments), dict(self.patches))

    def get_attachment(self, key: str) -> Any:
        return self.attachments.get(key)

    def set_attachments(self, key: str, value: Any) -> None:
        self.attachments[key] = value

    def add_patches(self, patches: dict[str, Any], strength: float) -> None:
        self.patches |= patches
        self.added.append((patches, strength))


def plain() -> dict[Any, Any]:
    weights = (torch.ones(8, 4), torch.ones(4, 6), None, None, None, None)
    return {"a.weight": SimpleNamespace(name="lora", weights=weights)}


LOKR = {"a.weight": SimpleNamespace(name="lokr", weights=())}
OURS = {MERGED: object()}


def wanted(model: Any) -> list[tuple[str, float]]:
    return [(lora.name, lora.strength) for lora in model.get_attachment(WANTED) or ()]


def test_a_plain_lora_is_to_be_merged_by_us_and_the_model_before_it_stays_as_it_is() -> None:
    model = Patcher(OURS)

    both = with_lora(with_lora(model, "ann", 1.0, plain()), "bea", 0.5, plain())

    assert wanted(both) == [("ann", 1.0), ("bea", 0.5)]
    assert both.added == []
    assert wanted(model) == []


def test_another_kind_goes_comfyuis_way_and_those_before_it_too_in_order() -> None:
    first = plain()

    model = with_lora(with_lora(Patcher(OURS), "ann", 1.0, first), "bea", 0.5, LOKR)

    assert wanted(model) == []
    assert model.added == [(first, 1.0), (LOKR, 0.5)]


def test_after_another_kind_a_plain_one_goes_comfyuis_way() -> None:
    model = with_lora(with_lora(Patcher(OURS), "bea", 0.5, LOKR), "ann", 1.0, plain())

    assert wanted(model) == []
    assert len(model.added) == 1


def test_a_model_that_another_node_loaded_goes_comfyuis_way() -> None:
    assert len(with_lora(Patcher({}), "ann", 1.0, plain()).added) == 1
