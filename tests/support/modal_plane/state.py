"""All that the plane knows. Lives on one event loop; changes are synchronous and then told."""

import asyncio
import time
from asyncio.subprocess import Process
from collections import Counter, defaultdict, deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from tests.support.modal_plane.wire import PICKLE, pb


class Signal:
    """Wakes whoever waits for the state to become something."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def fire(self) -> None:
        self._event.set()
        self._event = asyncio.Event()

    async def until(self, holds: Callable[[], Any], seconds: float) -> bool:
        end = time.monotonic() + seconds
        while not holds():
            if (left := end - time.monotonic()) <= 0:
                return False
            with suppress(TimeoutError):
                await asyncio.wait_for(self._event.wait(), left)
        return True


@dataclass
class App:
    id: str
    name: str = ""
    tags: dict[str, str] = field(default_factory=dict)
    objects: dict[str, str] = field(default_factory=dict)
    """Tag -> function or class."""


@dataclass
class Function:
    id: str
    app: App
    data: pb.FunctionData = field(repr=False)
    base: "Function | None" = None
    """Set in a variant: a class with parameters or with other options."""
    params: bytes = b""

    @property
    def tag(self) -> str:
        return self.data.function_name.removesuffix(".*")

    @property
    def definition(self) -> pb.Function:
        """As on the GPU that is preferred."""
        preferred: pb.Function = self.data.ranked_functions[0].function
        return preferred

    @property
    def gpus(self) -> tuple[str, ...]:
        """In order of preference; with the count where there are several in one container."""
        configs = (each.function.resources.gpu_config for each in self.data.ranked_functions)
        return tuple(
            config.gpu_type + (f":{config.count}" if config.count > 1 else "")
            for config in configs
            if config.count
        )


@dataclass(eq=False, repr=False)
class Call:
    id: str
    function: Function
    inputs: list["Input"] = field(default_factory=list)
    outputs: dict[int, pb.FunctionGetOutputsItem] = field(default_factory=dict)
    data_in: "asyncio.Queue[pb.DataChunk]" = field(default_factory=asyncio.Queue)
    data_out: "deque[pb.DataChunk]" = field(default_factory=deque)


@dataclass(eq=False, repr=False)
class Input:
    id: str
    call: Call
    item: pb.FunctionPutInputsItem
    apart: bool = False
    """Delivered twice, and never twice to the same container."""

    @property
    def done(self) -> bool:
        return self.item.idx in self.call.outputs


@dataclass(eq=False, repr=False)
class Container:
    id: str
    function: Function
    process: Process | None = None
    held: "dict[str, Delivery]" = field(default_factory=dict)
    cancelled: list[str] = field(default_factory=list)
    """Inputs that it is still to be told of."""
    lost: bool = False
    """Taken away by the platform: gets nothing more, and what it held runs elsewhere."""
    log: list[str] = field(default_factory=list)
    ending: str = ""
    """How it ended; empty while it lives."""


@dataclass
class Secret:
    name: str
    values: dict[str, str]
    required: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class Volume:
    name: str
    version: int
    files: dict[str, int] = field(default_factory=dict)
    """Path to bytes. Nothing is kept of them but their length."""
    asked: Counter[str] = field(default_factory=Counter)
    """How often for a `commit` and for a `reload`. There is no shared disk behind it."""


@dataclass
class Delivery:
    """One input handed to one container."""

    function: Function
    container: str
    input: Input
    output: pb.FunctionPutOutputsItem | None = None
    """None until it ends, and for good where it does not."""


class State:
    def __init__(self, secrets: dict[str, dict[str, str]]) -> None:
        self.given_secrets = secrets
        """Those that the account has: name -> its variables."""
        self.changed = Signal()
        self.stopping = False
        self.apps: dict[str, App] = {}
        self.functions: dict[str, Function] = {}
        self.variants: dict[bytes, Function] = {}
        self.secrets: dict[str, Secret] = {}
        self.volumes: dict[str, Volume] = {}
        self.images: dict[str, pb.ImageGetOrCreateRequest] = {}
        self.mounts: dict[str, dict[str, pb.MountFile]] = {}
        """Mount -> path in the container -> file."""
        self.contents: dict[str, bytes] = {}
        """By SHA-256."""
        self.calls: dict[str, Call] = {}
        self.waiting: defaultdict[str, deque[Input]] = defaultdict(deque)
        """Function -> inputs that no container has yet."""
        self.twice: set[str] = set()
        """Tags whose next input is handed out twice."""
        self.containers: dict[str, Container] = {}
        self.gone: list[Container] = []
        self.deliveries: list[Delivery] = []
        self._numbers = count(1)

    def new_id(self, prefix: str) -> str:
        return f"{prefix}-{next(self._numbers)}"

    def deployed(self, name: str) -> App | None:
        return next((app for app in self.apps.values() if app.name == name), None)

    def new_call(self, function: Function) -> Call:
        call = Call(self.new_id("fc"), function)
        self.calls[call.id] = call
        return call

    def handed_out(self, input: Input, container: Container) -> pb.FunctionGetInputsItem:
        """The container has it from now on."""
        self.waiting[container.function.id].remove(input)
        delivery = Delivery(container.function, container.id, input)
        self.deliveries.append(delivery)
        container.held[input.id] = delivery
        self.changed.fire()
        return pb.FunctionGetInputsItem(
            input_id=input.id,
            input=input.item.input,
            function_call_id=input.call.id,
            function_map_idx=input.item.idx,
        )

    def finish(
        self,
        input: Input,
        result: pb.GenericResult,
        data_format: "pb.DataFormat.ValueType" = PICKLE,
    ) -> None:
        """The first output of an input counts."""
        if not input.done:
            input.call.outputs[input.item.idx] = pb.FunctionGetOutputsItem(
                input_id=input.id, idx=input.item.idx, result=result, data_format=data_format
            )
        self.changed.fire()
