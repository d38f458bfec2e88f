"""Steps of Flux that take the work of most blocks from the step before: the first-block cache, as
ParaAttention has it (huggingface.co/docs/diffusers/optimization/para_attn).

What the first block adds to the picture's tokens tells how far a step is from the last one that was
computed whole. Where it is near, what all further blocks added then is added again, and they are
left out. This changes the picture, so a job asks for it.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import torch

from .model_loader import MERGED
from .sampled import SAMPLED, Steps

KEY = "ryla_step_cache"
PATCHES = ("patches", "patches_replace")
MOST_IN_A_ROW = 3
"""Steps without one that is computed whole between them."""

Arguments = dict[str, Any]
"""Of a block, as ComfyUI hands them to what is put in its place: `img` and `txt` among them, shaped
(batch, tokens, channels); `img` is both in a row in the single blocks."""
Replaced = Callable[[Arguments, Mapping[str, Any]], Arguments]


class RylaStepCache:
    """A clone of the model that is sampled with the cache; the weights are shared."""

    CATEGORY = "ryla"
    RETURN_TYPES = ("MODEL",)
    FUNCTION = "apply"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802  ComfyUI's name
        threshold = {"default": 0.0, "min": 0.0, "max": 1.0, "step": 0.01}
        return {"required": {"model": ("MODEL",), "threshold": ("FLOAT", threshold)}}

    def apply(self, model: Any, threshold: float) -> tuple[Any]:
        """`threshold`: a relative change of the first block's output; 0 computes every step.
        Raises ValueError for a model without Flux's blocks."""
        patched = model.clone()
        if threshold == 0:
            return (patched,)
        diffusion = patched.model.diffusion_model
        doubles, singles = (
            len(getattr(diffusion, name, ())) for name in ("double_blocks", "single_blocks")
        )
        if not doubles or not singles:
            raise ValueError(f"the step cache is for Flux, not for {type(diffusion).__name__}")
        cache = StepCache(threshold, doubles, singles, notes=patched.get_attachment(MERGED) is None)
        kinds = import_module("comfy.patcher_extension").WrappersMP
        patched.add_wrapper_with_key(kinds.OUTER_SAMPLE, KEY, cache.of_one_picture)
        patched.add_wrapper_with_key(kinds.DIFFUSION_MODEL, KEY, cache.step)
        return (patched,)


@dataclass
class Branch:
    """What is known of the steps so far, of those for the prompt or of those against it."""

    calls: int = 0
    left_out: int = 0
    """In a row, up to now."""
    first: torch.Tensor | None = None
    """What the first block added to the picture's tokens in the last step that was computed."""
    rest: torch.Tensor | None = None
    """What all further blocks added to them then."""

    def is_near(self, added: torch.Tensor, threshold: float) -> bool:
        """Waits for the card."""
        assert self.first is not None
        change, size = (
            each.abs().mean(dtype=torch.float32) for each in (added - self.first, self.first)
        )
        return bool(change < threshold * size)  # not where one is no number


class StepCache:
    """Of one model; ComfyUI samples one picture after the other."""

    def __init__(self, threshold: float, doubles: int, singles: int, *, notes: bool) -> None:
        """`doubles` and `singles` are the model's numbers of blocks. `notes`: nobody else tells
        SAMPLED of its steps."""
        self._threshold = threshold
        self._places = [("double_block", at) for at in range(doubles)]
        self._places += [("single_block", at) for at in range(singles)]
        self._notes = notes
        self._steps = 0
        """Of the picture in work; 0 between pictures."""
        self._branches: dict[Hashable, Branch] = {}

    def of_one_picture(
        self,
        executor: Any,
        noise: Any,
        latent: Any,
        sampler: Any,
        sigmas: Any,
        *more: Any,
        **options: Any,
    ) -> Any:
        """A wrapper of OUTER_SAMPLE: nothing is kept from one picture to the next."""
        self._steps, self._branches = len(sigmas) - 1, {}
        try:
            return executor(noise, latent, sampler, sigmas, *more, **options)
        finally:
            self._steps, self._branches = 0, {}

    def step(self, executor: Any, x: Any, *arguments: Any, **options: Any) -> Any:
        """A wrapper of DIFFUSION_MODEL, for Flux, whose options of a step come last. A step with a
        control net, or with patches of others, is made as ever."""
        *middle, transformer_options = arguments
        control = middle[-1]
        if self._notes:
            SAMPLED.note(Steps.EAGER)
        if control is not None or any(transformer_options.get(name) for name in PATCHES):
            return executor(x, *arguments, **options)
        side = tuple(transformer_options.get("cond_or_uncond", ()))
        branch = self._branches.setdefault((side, x.shape, x.dtype), Branch())
        branch.calls += 1
        may = branch.rest is not None and branch.calls < self._steps
        call = Call(branch, self._threshold if may and branch.left_out < MOST_IN_A_ROW else 0.0)
        replaced = {"dit": call.replaced(self._places)}
        out = executor(x, *middle, {**transformer_options, PATCHES[1]: replaced}, **options)
        if call.leaves_out:
            SAMPLED.note_cached()
        branch.left_out = branch.left_out + 1 if call.leaves_out else 0
        return out


class Call:
    """One call of the model, block by block."""

    def __init__(self, branch: Branch, threshold: float) -> None:
        """A threshold of 0 computes all blocks."""
        self._branch = branch
        self._threshold = threshold
        self._text_tokens = 0
        self._after_first: torch.Tensor | None = None
        self.leaves_out = False
        """Whether the blocks after the first were left out."""

    def replaced(self, places: Sequence[tuple[str, int]]) -> dict[tuple[str, int], Replaced]:
        """What stands in the place of each block, in ComfyUI's `patches_replace`."""
        between = dict.fromkeys(places[1:-1], self._between)
        return {places[0]: self._first, **between, places[-1]: self._last}

    def _first(self, given: Arguments, block: Mapping[str, Any]) -> Arguments:
        before = given["img"].clone()  # blocks work in place
        out = _of_block(block, given)
        added = out["img"] - before
        if self._threshold and self._branch.is_near(added, self._threshold):
            self.leaves_out = True
        else:
            self._branch.first, self._after_first = added, out["img"].clone()
        self._text_tokens = out["txt"].shape[1]
        return out

    def _between(self, given: Arguments, block: Mapping[str, Any]) -> Arguments:
        return given if self.leaves_out else _of_block(block, given)

    def _last(self, given: Arguments, block: Mapping[str, Any]) -> Arguments:
        """A single block: the text's tokens, which nothing reads after it, stand first."""
        if self.leaves_out:
            text, picture = given["img"].tensor_split([self._text_tokens], dim=1)
            return {"img": torch.cat((text, picture + self._branch.rest), 1)}
        out = _of_block(block, given)
        self._branch.rest = out["img"][:, self._text_tokens :] - self._after_first
        return out


def _of_block(block: Mapping[str, Any], given: Arguments) -> Arguments:
    """The block's own work. It sees options without our patches, as without the cache: what was
    compiled, or is to be, depends on nothing of ours."""
    options = {k: v for k, v in given["transformer_options"].items() if k != PATCHES[1]}
    out: Arguments = block["original_block"]({**given, "transformer_options": options})
    return out
