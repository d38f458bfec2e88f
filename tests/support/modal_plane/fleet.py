"""Containers: processes of Modal's own runner, started as inputs come and ended when idle."""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE, STDOUT
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from grpclib.server import Server

from tests.support.modal_plane.apps import layout
from tests.support.modal_plane.files import lay_out, shipped
from tests.support.modal_plane.state import Call, Container, Function, Input, State
from tests.support.modal_plane.wire import Part, pb

STOP_STEP_S = 0.1
RETIRE_S = 30.0
ENDED = "exited with 0"
LINE_BYTES = 1 << 22
INHERITED = ("PATH", "HOME", "LANG", "TMPDIR", "LD_LIBRARY_PATH")
HOME_IN_CONTAINER = "root"
"""Where Modal lays a deployed project, and where it starts the runner."""


class Fleet:
    def __init__(
        self, state: State, folder: Path, *, image_env: Mapping[str, str], most: int
    ) -> None:
        """`most` containers a function at once, or fewer where the function says so."""
        self._image_env = image_env
        self._state = state
        self._folder = folder
        self._most = most
        self._folders: dict[frozenset[tuple[str, str]], Path] = {}
        self._tending: set[asyncio.Task[None]] = set()
        self._serving: Callable[[Container], Sequence[Part]] = lambda container: ()

    def served_by(self, serving: Callable[[Container], Sequence[Part]]) -> None:
        """What answers a container's calls."""
        self._serving = serving

    def put(self, call: Call, item: pb.FunctionPutInputsItem) -> Input:
        input = Input(self._state.new_id("in"), call, item)
        call.inputs.append(input)
        tag = call.function.tag
        if tag in self._state.twice:
            self._state.twice.remove(tag)
            input.apart = True
            self.schedule(input)
        self.schedule(input)
        return input

    def schedule(self, input: Input) -> None:
        self._state.waiting[input.call.function.id].append(input)
        self._scale(input.call.function)
        self._state.changed.fire()

    async def interrupt(self, container: Container, grace_s: float) -> None:
        """Preemption: SIGINT, the grace, SIGKILL. What it held then runs somewhere else."""
        container.lost = True
        self._state.changed.fire()
        process = container.process
        assert process is not None
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGINT)
        with suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), grace_s)
        self.kill(container)

    def kill(self, container: Container) -> None:
        """As when its host dies."""
        container.lost = True
        assert container.process is not None
        with suppress(ProcessLookupError):
            container.process.kill()

    async def retire(self, container: Container) -> None:
        """As when it was idle for long enough: it gets no further input, and ends by itself."""
        container.lost = True
        self._state.changed.fire()
        await self._state.changed.until(lambda: container.ending, RETIRE_S)

    async def stop(self) -> None:
        """Kills all; one that is just being started as soon as it can be."""
        self._state.stopping = True
        self._state.changed.fire()
        while self._tending:
            for container in self._state.containers.values():
                if container.process is not None:
                    self.kill(container)
            await asyncio.wait(self._tending, timeout=STOP_STEP_S)

    def _scale(self, function: Function) -> None:
        if self._state.stopping:
            return
        definition = function.definition
        most = min(self._most, definition.autoscaler_settings.max_containers or self._most)
        slots = max(1, definition.max_concurrent_inputs)
        mine = [each for each in self._state.containers.values() if each.function is function]
        usable = [each for each in mine if not each.lost]
        free = sum(max(0, slots - len(each.held)) for each in usable)
        if len(self._state.waiting[function.id]) > free and len(usable) < most:
            container = Container(self._state.new_id("ta"), function)
            self._state.containers[container.id] = container
            task = asyncio.ensure_future(self._tend(container))
            self._tending.add(task)
            task.add_done_callback(self._tending.discard)

    async def _tend(self, container: Container) -> None:
        """From its start to what becomes of the inputs that it leaves behind."""
        folder = self._folder / container.id
        folder.mkdir()
        server = Server(list(self._serving(container)))
        try:
            await server.start(path=str(folder / "sock"))
            container.ending = f"exited with {await self._run(container, folder)}"
        except Exception as error:
            # A fault of the plane itself must not look like a container that is slow.
            container.ending = f"did not start: {error!r}"
        server.close()
        del self._state.containers[container.id]
        self._state.gone.append(container)
        for input in self._left(container):
            if container.lost:
                self.schedule(input)
            else:
                self._fail(input, f"container {container.ending}")
        self._scale(container.function)
        self._state.changed.fire()

    def _left(self, container: Container) -> list[Input]:
        """Inputs that its end leaves without an output."""
        inputs = [delivery.input for delivery in container.held.values()]
        if not container.lost and container.ending != ENDED:  # the next one would fare no better
            waiting = self._state.waiting[container.function.id]
            inputs += waiting
            waiting.clear()
        return [input for input in inputs if not input.done]

    def _fail(self, input: Input, why: str) -> None:
        failure = pb.GenericResult.GENERIC_STATUS_FAILURE
        self._state.finish(input, pb.GenericResult(status=failure, exception=why))

    async def _run(self, container: Container, folder: Path) -> int:
        home = self._laid_out(container.function) / HOME_IN_CONTAINER
        arguments = folder / "arguments"
        arguments.write_bytes(self._arguments(container).SerializeToString())
        environ = self._environ(container.function) | {
            "MODAL_SERVER_URL": f"unix://{folder / 'sock'}",
            "MODAL_CONTAINER_ARGUMENTS_PATH": str(arguments),
            "MODAL_TASK_ID": container.id,
            "PYTHONPATH": str(home),
        }
        container.process = process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "modal._container_entrypoint"),
            cwd=home,
            env=environ,
            stdout=PIPE,
            stderr=STDOUT,
            limit=LINE_BYTES,
        )
        self._state.changed.fire()
        assert process.stdout is not None
        async for line in process.stdout:
            container.log.append(line.decode(errors="replace").rstrip())
        return await process.wait()

    def _laid_out(self, function: Function) -> Path:
        """A folder with its files. Shared by all that have the same, and so is their bytecode."""
        files = frozenset(
            (path, file.sha256_hex) for path, file in shipped(self._state, function).items()
        )
        if files not in self._folders:
            root = self._folder / f"files-{len(self._folders)}"
            (root / HOME_IN_CONTAINER).mkdir(parents=True)
            lay_out(self._state, function, root)
            self._folders[files] = root
        return self._folders[files]

    def _environ(self, function: Function) -> dict[str, str]:
        """Like a container's: nothing of whoever runs the tests but what a process needs."""
        environ = {name: os.environ[name] for name in INHERITED if name in os.environ}
        environ |= self._image_env
        for secret in function.definition.secret_ids:
            environ |= self._state.secrets[secret].values
        return environ | {
            "MODAL_IS_REMOTE": "1",
            "MODAL_ENVIRONMENT": "main",
            "PYTHONUNBUFFERED": "1",
        }

    def _arguments(self, container: Container) -> pb.ContainerArguments:
        function = container.function
        return pb.ContainerArguments(
            task_id=container.id,
            function_id=function.id,
            app_id=function.app.id,
            function_def=function.definition,
            app_layout=layout(self._state, function.app),
            environment_name="main",
            serialized_params=function.params,
        )
