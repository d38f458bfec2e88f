"""One picture's steps recorded once on the card and played again.

A face pass of InstantID is bound by the processor: some seven thousand kernels a step, each sent by
Python, take 0.15 to 0.3 s, and the card is done with them in 0.03. A CUDA graph sends them at once.
It holds the addresses of weights and of the face's embedding, so it lives for one picture: a step
is recorded, the others are played, and at the end it is dropped. The first step of a size is made
as ever, since libraries choose their kernels in it, once for this process.
"""

import logging
import threading
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

LOGGER = logging.getLogger(__name__)
RECORDING = threading.Lock()
"""Held while something is recorded, and while blocks are compiled: each asks the card for what the
other forbids meanwhile."""

Run = Callable[[], Any]
Recorder = Callable[[Run], tuple[Callable[[], None], Any]]
"""Runs a function once while it records, and gives what plays it again and where its result is."""


def on_card(run: Run) -> tuple[Callable[[], None], Any]:
    """A CUDA graph. Raises RuntimeError for what cannot be recorded, as a wait for the card."""
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):
        out = run()
    return graph.replay, out


@dataclass
class _Recorded:
    inputs: Sequence[torch.Tensor]
    """Where the graph reads."""
    play: Callable[[], None]
    out: Any


class StepGraphs:
    """The graphs of the picture in work; ComfyUI makes one after the other."""

    def __init__(self, recorder: Recorder = on_card) -> None:
        self._recorder = recorder
        self._seen: set[Hashable] = set()
        """What was called before, in whichever picture."""
        self._recorded: dict[Hashable, _Recorded] = {}
        self._on = False
        self._broken = False

    @contextmanager
    def of_one_picture(self) -> Iterator[None]:
        """Within it `call` may record; at its end all graphs are gone."""
        self._on = True
        try:
            yield
        finally:
            self._on = False
            self._recorded = {}

    def call(self, name: Hashable, function: Callable[..., Any], given: dict[str, Any]) -> Any:
        """`function(**given)`. Equal names and shapes must mean the same work: whatever is no
        tensor among what is given is looked at when it is recorded alone."""
        tensors: list[torch.Tensor] = []
        shape = _collected(given, tensors)
        key = (name, shape, tuple((each.shape, each.dtype, each.device) for each in tensors))
        recorded = self._recorded.get(key)
        if recorded is None and self._may_record(key):
            recorded = self._record(key, function, given, tensors)
        if recorded is None:
            return function(**given)
        for own, new in zip(recorded.inputs, tensors, strict=True):
            own.copy_(new)
        recorded.play()
        return _with_tensors(recorded.out, iter([t.clone() for t in _tensors(recorded.out)]))

    def _may_record(self, key: Hashable) -> bool:
        """From the second call in this process on."""
        if not self._on or self._broken:
            return False
        known = key in self._seen
        self._seen.add(key)
        return known

    def _record(
        self,
        key: Hashable,
        function: Callable[..., Any],
        given: dict[str, Any],
        tensors: Sequence[torch.Tensor],
    ) -> _Recorded | None:
        if not RECORDING.acquire(blocking=False):
            return None
        inputs = [each.clone() for each in tensors]
        try:
            play, out = self._recorder(lambda: function(**_with_tensors(given, iter(inputs))))
        except RuntimeError:  # torch's for whatever cannot be recorded
            LOGGER.exception("steps cannot be recorded")
            self._broken = True
            return None
        finally:
            RECORDING.release()
        self._recorded[key] = _Recorded(inputs, play, out)
        return self._recorded[key]


def _tensors(tree: Any) -> list[torch.Tensor]:
    found: list[torch.Tensor] = []
    _collected(tree, found)
    return found


def _collected(tree: Any, found: list[torch.Tensor]) -> Hashable:
    """Appends the tree's tensors; returns its shape."""
    if isinstance(tree, torch.Tensor):
        found.append(tree)
        return "tensor"
    if isinstance(tree, dict):
        return tuple((name, _collected(value, found)) for name, value in tree.items())
    if isinstance(tree, list | tuple):
        return tuple(_collected(value, found) for value in tree)
    return "other"


def _with_tensors(tree: Any, tensors: Iterator[torch.Tensor]) -> Any:
    """The same tree, of new lists and dictionaries, with these tensors in the others' places."""
    if isinstance(tree, torch.Tensor):
        return next(tensors)
    if isinstance(tree, dict):
        return {name: _with_tensors(value, tensors) for name, value in tree.items()}
    if isinstance(tree, list | tuple):
        return type(tree)(_with_tensors(value, tensors) for value in tree)
    return tree


GRAPHS = StepGraphs()


def of_one_picture(executor: Any, *arguments: Any, **options: Any) -> Any:
    """A wrapper of OUTER_SAMPLE."""
    with GRAPHS.of_one_picture():
        return executor(*arguments, **options)


def diffusion(
    executor: Any,
    x: Any,
    timesteps: Any,
    context: Any,
    y: Any,
    control: Any,
    transformer_options: dict[str, Any],
    **options: Any,
) -> Any:
    """A wrapper of DIFFUSION_MODEL, for a UNet. Which of the batch are for the prompt and which
    against it stands in its options, and acts on InstantID's attention."""
    sides = tuple(transformer_options.get("cond_or_uncond", ()))

    def run(**given: Any) -> Any:
        more = given.pop("options")
        return executor(*given.values(), transformer_options, **more)

    given = {"x": x, "timesteps": timesteps, "context": context, "y": y, "control": control}
    return GRAPHS.call(("diffusion", sides), run, {**given, "options": options})


class RecordedControl:
    """A ControlNet's model in a graph of its own."""

    def __init__(self, model: Any) -> None:
        self._model = model

    @property
    def dtype(self) -> Any:
        return self._model.dtype

    def __call__(self, **given: Any) -> Any:
        return GRAPHS.call(("control", id(self)), self._model, given)
