import sys
from collections.abc import Iterator, Mapping
from types import SimpleNamespace
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="`make nodes` brings it")

from handlers.comfyui.node_pack.sampled import SAMPLED, Steps  # noqa: E402
from handlers.comfyui.node_pack.step_cache import (  # noqa: E402
    KEY,
    MOST_IN_A_ROW,
    RylaStepCache,
    StepCache,
)
from workflows.interfaces import from_object_info  # noqa: E402
from workflows.node_pack import STEP_CACHE  # noqa: E402
from workflows.own_interfaces import OWN  # noqa: E402

pytestmark = pytest.mark.nodes
DOUBLES, SINGLES, TEXT, PICTURE, WIDTH = 3, 2, 5, 7, 8


class Flux:
    """The walk over the blocks as ComfyUI's Flux makes it, with blocks that work in place."""

    def __init__(self) -> None:
        torch.manual_seed(1)
        self.double_blocks = [torch.randn(WIDTH, WIDTH) / 8 for _ in range(DOUBLES)]
        self.single_blocks = [torch.randn(WIDTH, WIDTH) / 8 for _ in range(SINGLES)]
        self.computed = 0
        self.seen: list[Mapping[str, Any]] = []
        """Options that blocks were given."""

    def __call__(
        self, x: Any, timestep: Any, context: Any, y: Any, guidance: Any, ref: Any, control: Any,
        transformer_options: dict[str, Any],
    ) -> Any:  # fmt: skip
        img, txt = x.clone(), context.clone()
        replaced = transformer_options.get("patches_replace", {}).get("dit", {})
        for at, weight in enumerate(self.double_blocks):
            given = {"img": img, "txt": txt, "transformer_options": transformer_options}
            given = self.block("double_block", at, weight, given, replaced)
            img, txt = given["img"], given["txt"]
        img = torch.cat((txt, img), 1)
        for at, weight in enumerate(self.single_blocks):
            given = {"img": img, "transformer_options": transformer_options}
            img = self.block("single_block", at, weight, given, replaced)["img"]
        return img[:, TEXT:]

    def block(
        self, kind: str, at: int, weight: Any, given: dict[str, Any], replaced: Mapping[Any, Any]
    ) -> dict[str, Any]:
        def own(args: dict[str, Any]) -> dict[str, Any]:
            self.computed += 1
            self.seen.append(args["transformer_options"])
            for name in {"img", "txt"} & args.keys():
                args[name] += torch.tanh(args[name] @ weight)
            return {name: args[name] for name in ("img", "txt") if name in args}

        if (kind, at) in replaced:
            out: dict[str, Any] = replaced[kind, at](given, {"original_block": own})
            return out
        return own(given)


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    SAMPLED.take()
    yield
    SAMPLED.take()


def pictures(steps: int, change: float) -> list[Any]:
    """Inputs of the steps, each so far from the one before."""
    torch.manual_seed(2)
    first = torch.randn(1, PICTURE, WIDTH)
    return [first + change * at * torch.randn(1, PICTURE, WIDTH) for at in range(steps)]


def sample(
    cache: StepCache | None,
    model: Flux,
    inputs: list[Any],
    control: Any = None,
    sides: tuple[tuple[int, ...], ...] = ((0,),),
    **options: Any,
) -> list[Any]:
    def every_step(*_: Any) -> list[Any]:
        out = []
        for x in inputs:
            for side in sides:
                context = torch.full((1, TEXT, WIDTH), float(side[0]))
                given = (x, None, context, None, None, None, control)
                asked = {"cond_or_uncond": list(side), **options}
                made = model(*given, asked) if cache is None else cache.step(model, *given, asked)
                out.append(made)
        return out

    sigmas = torch.linspace(1, 0, len(inputs) + 1)
    if cache is None:
        return every_step()
    made: list[Any] = cache.of_one_picture(every_step, None, None, None, sigmas)
    return made


def cache(threshold: float) -> StepCache:
    return StepCache(threshold, DOUBLES, SINGLES, notes=True)


def test_steps_that_are_computed_have_the_same_result_to_the_last_bit() -> None:
    inputs = pictures(6, change=0.5)

    for own, ours in zip(
        sample(None, Flux(), inputs), sample(cache(1e-6), Flux(), inputs), strict=True
    ):
        assert torch.equal(own, ours)
    assert SAMPLED.take() == {"eager": 6}


def test_near_steps_take_what_further_blocks_added_from_the_one_before() -> None:
    model, inputs = Flux(), pictures(4, change=1e-4)

    out = sample(cache(0.1), model, inputs)

    assert SAMPLED.take() == {"eager": 2, "cached": 2}
    assert model.computed == 2 * (DOUBLES + SINGLES) + 2
    for own, ours in zip(sample(None, Flux(), inputs), out, strict=True):
        torch.testing.assert_close(own, ours, atol=1e-2, rtol=0)


def test_a_cached_step_is_the_first_block_and_what_the_others_added() -> None:
    model, inputs = Flux(), pictures(3, change=0.1)

    whole, cached, _ = sample(cache(100), model, inputs)

    after_first = [x + torch.tanh(x @ model.double_blocks[0]) for x in inputs]
    torch.testing.assert_close(cached - after_first[1], whole - after_first[0])


def test_the_first_and_the_last_step_are_computed_and_not_too_many_in_a_row_are_not() -> None:
    model = Flux()
    counts = []
    for steps in (1, 2, 3, 12):
        sample(cache(100), model, pictures(steps, change=0.1))
        counts.append(SAMPLED.take())

    assert counts[:3] == [{"eager": 1}, {"eager": 2}, {"eager": 2, "cached": 1}]
    assert MOST_IN_A_ROW == 3
    assert counts[3] == {"eager": 4, "cached": 8}


def test_a_far_step_is_computed() -> None:
    near, far = pictures(3, change=1e-4), pictures(3, change=5.0)[1:]

    sample(cache(0.1), Flux(), [*near, *far])

    assert SAMPLED.take() == {"eager": 3, "cached": 2}


def test_each_side_of_the_guidance_goes_by_its_own_steps() -> None:
    inputs = pictures(3, change=1e-4)

    out = sample(cache(0.1), Flux(), inputs, sides=((0,), (1,)))

    assert SAMPLED.take() == {"eager": 4, "cached": 2}
    for own, ours in zip(sample(None, Flux(), inputs, sides=((0,), (1,))), out, strict=True):
        torch.testing.assert_close(own, ours, atol=1e-2, rtol=0)


def test_nothing_is_kept_from_one_picture_to_the_next() -> None:
    ours = cache(0.1)
    inputs = pictures(3, change=1e-4)
    sample(ours, Flux(), inputs)
    SAMPLED.take()

    again = sample(ours, Flux(), [2 * x for x in inputs])

    assert SAMPLED.take() == {"eager": 2, "cached": 1}
    assert torch.equal(again[0], sample(None, Flux(), [2 * inputs[0]])[0])


@pytest.mark.parametrize(
    "acting",
    [
        {"control": {"input": []}},
        {"patches": {"attn1_patch": [len]}},
        {"patches_replace": {"attn1": {0: len}}},
    ],
)
def test_steps_that_something_else_acts_on_are_computed(acting: dict[str, Any]) -> None:
    model = Flux()

    sample(cache(100), model, pictures(4, change=1e-4), **acting)

    assert SAMPLED.take() == {"eager": 4}
    assert model.computed == 4 * (DOUBLES + SINGLES)


def test_blocks_see_none_of_it_in_their_options() -> None:
    model = Flux()

    sample(cache(0.1), model, pictures(3, change=1e-4), block_index=1)

    assert {tuple(options) for options in model.seen} == {("cond_or_uncond", "block_index")}


def test_steps_are_told_as_whoever_computes_them_tells_them() -> None:
    """A wrapper outside tells of each, compiled or in 8 bits, before it is known to be cached."""
    ours = StepCache(100, DOUBLES, SINGLES, notes=False)
    model = Flux()

    def told(*given: Any) -> Any:
        return model(*given)

    def every_step(*_: Any) -> None:
        for x in pictures(3, change=1e-4):
            SAMPLED.note(Steps.COMPILED)
            context = torch.zeros(1, TEXT, WIDTH)
            ours.step(told, x, None, context, None, None, None, None, {})

    ours.of_one_picture(every_step, None, None, None, torch.zeros(4))

    assert SAMPLED.take() == {"compiled": 2, "cached": 1}


class Patcher:
    def __init__(self, diffusion: Any) -> None:
        self.model = SimpleNamespace(diffusion_model=diffusion)
        self.wrapped: list[tuple[str, str]] = []

    def clone(self) -> "Patcher":
        return Patcher(self.model.diffusion_model)

    def get_attachment(self, _: str) -> None:
        return None

    def add_wrapper_with_key(self, kind: str, key: str, _: Any) -> None:
        self.wrapped.append((kind, key))


@pytest.fixture
def kinds(monkeypatch: pytest.MonkeyPatch) -> None:
    names = SimpleNamespace(OUTER_SAMPLE="outer", DIFFUSION_MODEL="diffusion")
    monkeypatch.setitem(sys.modules, "comfy.patcher_extension", SimpleNamespace(WrappersMP=names))


def test_its_interface_is_the_one_that_graphs_are_judged_by() -> None:
    live = {
        "input": RylaStepCache.INPUT_TYPES(),
        "output": RylaStepCache.RETURN_TYPES,
        "output_node": False,
        "python_module": "custom_nodes.ryla",
    }

    assert from_object_info({STEP_CACHE: live}, "").nodes == OWN


@pytest.mark.usefixtures("kinds")
def test_a_threshold_of_0_leaves_the_model_alone() -> None:
    (off,) = RylaStepCache().apply(Patcher(Flux()), 0.0)
    (on,) = RylaStepCache().apply(Patcher(Flux()), 0.1)

    assert off.wrapped == []
    assert on.wrapped == [("outer", KEY), ("diffusion", KEY)]


@pytest.mark.usefixtures("kinds")
def test_a_model_without_blocks_of_flux_is_refused() -> None:
    with pytest.raises(ValueError, match=r"is for Flux, not for SimpleNamespace"):
        RylaStepCache().apply(Patcher(SimpleNamespace(layers=[1, 2])), 0.1)
