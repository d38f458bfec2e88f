import pytest

from config.errors import LoraMismatch
from handlers.loras.adapters import AdapterKind, read_adapters
from handlers.loras.header import Header, Tensor


def read(*names: str) -> tuple[list[AdapterKind], list[str]]:
    tensors = {name: Tensor(name, "F16", (4, 4), 0, 0) for name in names}
    adapters, unread = read_adapters(Header(tensors, {}))
    return [each.kind for each in adapters], unread


LORA = ("a.lora_down.weight", "a.lora_up.weight")
LOKR = ("a.lokr_w1", "a.lokr_w2")


def test_tensors_of_one_layer_are_one_adapter_in_whatever_order() -> None:
    assert read("a.alpha", LORA[1], "a.dora_scale", LORA[0]) == ([AdapterKind.LORA], [])
    assert read("a.lora_mid.weight", *LORA) == ([AdapterKind.LORA], [])
    assert read(*LOKR, "b.hada_w1_a", "c.diff") == (
        [AdapterKind.LOKR, AdapterKind.LOHA, AdapterKind.DIFF],
        [],
    )


def test_a_second_adapter_of_a_layer_is_left_out() -> None:
    assert read(*LORA, *LOKR) == ([AdapterKind.LORA], list(LOKR))
    assert read(*LOKR, *LORA) == ([AdapterKind.LOKR], list(LORA))
    assert read(*LORA, "a.diff") == ([AdapterKind.LORA], ["a.diff"])
    both = ("a.lora_A.weight", "a.lora_B.weight")
    assert read(*LORA, *both) == ([AdapterKind.LORA], list(both))


def test_a_middle_is_read_beside_kohyas_endings_alone() -> None:
    names = ("a.lora_A.weight", "a.lora_B.weight", "a.lora_mid.weight")
    assert read(*names) == ([AdapterKind.LORA], [names[2]])
    assert read("a.lora_mid.weight", *LOKR) == ([AdapterKind.LOKR], ["a.lora_mid.weight"])


@pytest.mark.parametrize(
    "name",
    ["a.alpha", "a.dora_scale", "a.diff_b", "a.lora_mid.weight", "a.lora_magnitude_vector",
     "a.oft_blocks", "a.a1.weight", "a.on_input", "a.w_norm", "a.set_weight", "a.lora_B.bias"],
)  # fmt: skip
def test_what_belongs_to_no_adapter_is_left_out(name: str) -> None:
    assert read(name) == ([], [name])


def test_half_a_pair_is_refused() -> None:
    with pytest.raises(LoraMismatch, match=r"'a\.lora_up\.weight' has no 'a\.lora_down\.weight'"):
        read(LORA[1])
