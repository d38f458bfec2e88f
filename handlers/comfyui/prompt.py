"""What is asked of ComfyUI: a prompt, and how somebody waits for it."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

OnProgress = Callable[[float, str | None], None]
"""Gets a fraction of 0 to 1 that never falls, and the class of the running node."""
ShouldStop = Callable[[], bool]
"""Whether to interrupt the prompt. Asked with every frame, and each 0.2 s without one."""


@dataclass(frozen=True)
class Waits:
    """How long each thing may take, in seconds."""

    connect_s: float = 5.0
    """To connect, for HTTP and for the socket."""
    reply_s: float = 30.0
    """An ordinary HTTP answer."""
    poll_s: float = 2.0
    """Silence on the socket before /queue and /history are asked."""
    poll_reply_s: float = 5.0
    """Their answer. Loading a model can keep ComfyUI from answering for a while."""
    silence_s: float = 120.0
    """No frame and no answer at all, before ComfyUI counts as hung."""
    pace: float = 10.0
    """So many times the median of its steps may pass until a sampler's next one, `step_s` at least,
    before ComfyUI counts as hung, whatever it answers."""
    step_s: float = 20.0
    """Seconds; see `pace`."""
    settle_s: float = 2.0
    """A prompt whose POST got no reply may take this long to show in the queue."""
    history_s: float = 5.0
    """History may lag this much behind the prompt's end."""
    stop_s: float = 3.0
    """An interrupted prompt may take this long to stop; after that it is left alone."""


def ignore(fraction: float, node_class: str | None) -> None:
    """No progress is wanted."""


def never() -> bool:
    """Nothing stops it."""
    return False


@dataclass(frozen=True)
class Prompt:
    """What ComfyUI is to run."""

    graph: Mapping[str, Any]
    """In API format."""
    id: str
    """New to this server."""
    extra_data: Mapping[str, Any] = field(default_factory=dict)
    beside: Mapping[str, Any] = field(default_factory=dict)
    """Nodes under ids of their own that nothing is linked to: ComfyUI never runs them, but keeps
    what they gave before."""


@dataclass(frozen=True)
class Watch:
    """What whoever waits for a prompt wants to know, and how long he waits."""

    deadline_s: float = math.inf
    on_progress: OnProgress = ignore
    should_stop: ShouldStop = never
