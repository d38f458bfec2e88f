import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="`make nodes` brings it")

from handlers.comfyui.node_pack.compiled_blocks import (  # noqa: E402
    OVERRIDE,
    CompiledBlocks,
    by_inductor,
)
from handlers.comfyui.node_pack.sampled import SAMPLED, Steps  # noqa: E402

pytestmark = pytest.mark.nodes


class Block(torch.nn.Module):  # type: ignore[misc,name-defined]
    """Works on its input in place, as ComfyUI's do."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = torch.nn.Linear(8, 8)

    def forward(self, x: Any, transformer_options: dict[str, Any]) -> Any:
        x += self.linear(x)
        return x


class Diffusion(torch.nn.Module):  # type: ignore[misc,name-defined]
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.double_blocks = torch.nn.ModuleList(Block() for _ in range(3))
        self.single_blocks = torch.nn.ModuleList(Block() for _ in range(2))


class Model(torch.nn.Module):  # type: ignore[misc,name-defined]
    def __init__(self) -> None:
        super().__init__()
        self.diffusion_model = Diffusion()

    def apply(self, x: Any, options: dict[str, Any]) -> Any:
        out = x.clone()
        for blocks in (self.diffusion_model.double_blocks, self.diffusion_model.single_blocks):
            for at, block in enumerate(blocks):
                out = block(out, transformer_options={**options, "block_index": at})
        return out


class Compiled(torch.nn.Module):  # type: ignore[misc,name-defined]
    """Notes that it stands for a block."""

    def __init__(self, block: Any) -> None:
        super().__init__()
        self.block, self.calls = block, 0

    def forward(self, *args: Any, **named: Any) -> Any:
        self.calls += 1
        return self.block(*args, **named)


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    SAMPLED.take()
    yield
    SAMPLED.take()


X = torch.ones(1, 8)


def step(blocks: CompiledBlocks, control: Any = None, **options: Any) -> Any:
    model: Any = blocks.model

    def executor(x: Any, *others: Any) -> Any:
        return model.apply(x, others[-1])

    with torch.inference_mode():
        return blocks.sample(executor, X, None, None, None, control, options)


def warm(**more: Any) -> CompiledBlocks:
    blocks = CompiledBlocks(Model(), compiler=Compiled, **more)
    step(blocks)
    settle()
    return blocks


def settle() -> None:
    for thread in threading.enumerate():
        if thread.name == "compile":
            thread.join(60)


def made_by(run: Callable[[], Any]) -> list[str]:
    SAMPLED.take()
    run()
    return list(SAMPLED.take())


def test_the_first_step_is_made_as_ever_and_further_ones_once_compiled() -> None:
    blocks = CompiledBlocks(Model(), compiler=Compiled)

    assert made_by(lambda: step(blocks)) == ["eager"]
    settle()
    assert made_by(lambda: step(blocks)) == ["compiled"]


def test_steps_in_eight_bits_are_told_as_such_before_and_after() -> None:
    blocks = CompiledBlocks(Model(), Compiled, eager=Steps.FP8_EAGER, compiled=Steps.FP8)

    assert made_by(lambda: step(blocks)) == ["fp8-eager"]
    settle()
    assert made_by(lambda: step(blocks)) == ["fp8"]


def test_no_step_waits_while_something_else_does() -> None:
    """Compiling begins when nothing waits; steps go on until then."""
    idle = threading.Event()
    blocks = CompiledBlocks(Model(), compiler=Compiled, is_idle=idle.is_set)
    for _ in range(3):
        assert made_by(lambda: step(blocks)) == ["eager"]

    idle.set()
    settle()

    assert made_by(lambda: step(blocks)) == ["compiled"]


def test_the_picture_is_the_same_and_the_model_has_its_own_blocks_again() -> None:
    blocks = warm()
    own = list(blocks.model.diffusion_model.double_blocks)

    assert torch.equal(step(blocks), Model().apply(X, {}))
    assert list(blocks.model.diffusion_model.double_blocks) == own
    assert all(isinstance(block, Block) for block in own)


def test_each_kind_of_block_is_compiled_once_and_each_block_stands_in() -> None:
    blocks = warm()
    step(blocks)

    compiled: Any = blocks._compiled
    calls = {name: [each.calls for each in made] for name, made in compiled.items()}
    assert calls == {"double_blocks": [2, 1, 1], "single_blocks": [2, 1]}


def test_own_blocks_are_back_after_a_step_that_failed() -> None:
    blocks = warm()

    def fails(*_: Any) -> Any:
        raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        blocks.sample(fails, X, None, None, None, None, {})

    assert all(isinstance(each, Block) for each in blocks.model.diffusion_model.single_blocks)


@pytest.mark.parametrize(
    "options",
    [
        {"patches": {"attn1_patch": [print]}},
        {"patches_replace": {"dit": {}}},
        {"control": object()},
        {OVERRIDE: print},
    ],
)
def test_what_acts_on_a_block_from_outside_is_not_passed_over(options: dict[str, Any]) -> None:
    blocks = warm()

    assert made_by(lambda: step(blocks, **options)) == ["eager"]
    assert made_by(lambda: step(blocks)) == ["compiled"]


def test_what_cannot_be_compiled_is_sampled_as_ever() -> None:
    def refuses(block: Any) -> Any:
        raise RuntimeError("no compiler here")

    blocks = CompiledBlocks(Model(), compiler=refuses)
    step(blocks)
    settle()

    assert made_by(lambda: step(blocks)) == ["eager"]
    assert not blocks.is_ready


def test_a_model_without_such_blocks_stays_as_it_is() -> None:
    class Unet(Model):
        def __init__(self) -> None:
            super().__init__()
            self.diffusion_model = torch.nn.Linear(8, 8)

        def apply(self, x: Any, options: dict[str, Any]) -> Any:
            return self.diffusion_model(x)

    blocks = CompiledBlocks(Unet(), compiler=Compiled)
    step(blocks)
    settle()

    assert made_by(lambda: step(blocks)) == ["eager"]


def test_torchs_own_compiler_is_asked_for_dynamic_shapes(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, Any] = {}

    def compile(block: Any, **options: Any) -> Any:
        asked.update(options)
        return block

    monkeypatch.setattr(torch, "compile", compile)
    by_inductor(Block())

    class Guard:
        def __init__(self, name: str) -> None:
            self.name = name

    keeps = asked["options"]["guard_filter_fn"]
    assert asked["dynamic"] is True
    assert keeps([Guard("L['transformer_options']['block_index']"), Guard("L['x']")]) == [
        False,
        True,
    ]
