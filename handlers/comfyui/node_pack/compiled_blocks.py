"""The blocks of a transformer compiled, without a picture that waits for it.

Compiling takes 9 to 25 s, and 5 with a warm cache. So the first picture is made as ever, and lends
its blocks' inputs; a thread compiles the two or three kinds of block on these once nothing waits,
while further pictures go on as before. From then on the compiled blocks stand in for the duration
of each step. Shapes are dynamic: another size costs a fraction of a second once.
"""

import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch

from .sampled import SAMPLED, Steps
from .step_graphs import RECORDING

LISTS = ("double_blocks", "single_blocks", "noise_refiner", "context_refiner", "layers")
"""Attributes of Flux and of Z-Image that hold blocks; all of a list are of one kind."""
PATCHES = ("patches", "patches_replace")
OVERRIDE = "optimized_attention_override"
IDLE_LOOK_SECONDS = 0.1
COMPILE_THREAD = "compile"
LOGGER = logging.getLogger(__name__)

Compiler = Callable[[torch.nn.Module], Callable[..., Any]]


def by_inductor(block: torch.nn.Module) -> Callable[..., Any]:
    """torch's compiler. What stands in the options of a step, its number among it, is no reason to
    compile again: what acts on a block there is looked at by `stands_in` instead."""
    compiled: Callable[..., Any] = torch.compile(
        block,
        dynamic=True,
        options={
            "guard_filter_fn": lambda guards: [
                "transformer_options" not in guard.name for guard in guards
            ]
        },
    )
    return compiled


@dataclass
class Call:
    """The inputs of one call of a block."""

    block: torch.nn.Module
    arguments: tuple[Any, ...]
    named: Mapping[str, Any]


@dataclass
class CompiledBlocks:
    """Of one model; its clones share it."""

    model: torch.nn.Module
    """ComfyUI's model: what is sampled is its `diffusion_model`."""
    compiler: Compiler = by_inductor
    is_idle: Callable[[], bool] = lambda: True
    """Whether nothing waits, so that compiling may begin."""
    eager: Steps = Steps.EAGER
    """What steps are called that the blocks' own code makes, and those of the compiled ones."""
    compiled: Steps = Steps.COMPILED
    _compiled: Mapping[str, Sequence[Callable[..., Any]]] = field(default_factory=dict)
    _attention: Any = None
    """The override of attention that was compiled."""
    _begun: bool = False

    @property
    def is_ready(self) -> bool:
        return bool(self._compiled)

    def sample(
        self,
        executor: Any,
        x: Any,
        t: Any,
        c_concat: Any,
        c_crossattn: Any,
        control: Any,
        transformer_options: dict[str, Any],
        **options: Any,
    ) -> Any:
        """A wrapper of APPLY_MODEL."""
        arguments = (x, t, c_concat, c_crossattn, control, transformer_options)
        if control is not None or any(transformer_options.get(name) for name in PATCHES):
            SAMPLED.note(self.eager)
            return executor(*arguments, **options)
        if self.stands_in(transformer_options):
            SAMPLED.note(self.compiled)
            with self._in_place():
                return executor(*arguments, **options)
        SAMPLED.note(self.eager)
        if self._begun:
            return executor(*arguments, **options)
        with self._listening() as calls:
            out = executor(*arguments, **options)
        self._begun = True
        self._attention = transformer_options.get(OVERRIDE)
        warm_up = threading.Thread(
            target=self._warm_up, args=(calls,), name=COMPILE_THREAD, daemon=True
        )
        warm_up.start()
        return out

    def stands_in(self, transformer_options: Mapping[str, Any]) -> bool:
        """Whether what was compiled is what these options ask for."""
        return self.is_ready and transformer_options.get(OVERRIDE) is self._attention

    def _lists(self) -> dict[str, torch.nn.ModuleList]:
        diffusion: Any = self.model.diffusion_model
        found = {name: getattr(diffusion, name, None) for name in LISTS}
        return {name: each for name, each in found.items() if each}

    @contextmanager
    def _listening(self) -> Iterator[list[Call]]:
        """Copies of what the first block of each list is called with."""
        calls: list[Call] = []

        def heard(block: torch.nn.Module, arguments: Any, named: Any) -> None:
            calls.append(Call(block, _copied(arguments), _copied(named)))

        hooks = [
            blocks[0].register_forward_pre_hook(heard, with_kwargs=True)
            for blocks in self._lists().values()
        ]
        try:
            yield calls
        finally:
            for hook in hooks:
                hook.remove()

    def _warm_up(self, calls: Sequence[Call]) -> None:
        pause = threading.Event()
        while not self.is_idle():
            pause.wait(IDLE_LOOK_SECONDS)
        try:
            compiled = {
                name: [self.compiler(block) for block in blocks]
                for name, blocks in self._lists().items()
            }
            first = {id(blocks[0]): compiled[name][0] for name, blocks in self._lists().items()}
            with RECORDING, torch.inference_mode():
                for call in calls:
                    first[id(call.block)](*call.arguments, **call.named)
                if torch.cuda.is_available():
                    torch.cuda.synchronize()
        except Exception:  # the thread's edge: pictures go on without
            LOGGER.exception("blocks cannot be compiled")
            return
        LOGGER.info("blocks compiled: %s", ", ".join(compiled))
        self._compiled = compiled

    @contextmanager
    def _in_place(self) -> Iterator[None]:
        """The compiled blocks where the model looks for its own."""
        lists = self._lists()
        own = {name: list(blocks) for name, blocks in lists.items()}
        try:
            for name, blocks in lists.items():
                blocks._modules.update(zip(blocks._modules, self._compiled[name], strict=True))
            yield
        finally:
            for name, blocks in lists.items():
                blocks._modules.update(zip(blocks._modules, own[name], strict=True))


def _copied(given: Any) -> Any:
    """Tensors are copied, since a block works on its inputs in place; all else is shared."""
    if isinstance(given, torch.Tensor):
        return given.clone()
    if isinstance(given, dict):
        return {name: _copied(value) for name, value in given.items()}
    if type(given) in (list, tuple):
        return type(given)(map(_copied, given))
    return given
