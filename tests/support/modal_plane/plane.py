"""The plane as tests use it."""

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self, TypeVar

from aiohttp import web
from grpclib.server import Server

from tests.support.modal_plane.apps import Apps
from tests.support.modal_plane.calls import Calls
from tests.support.modal_plane.containers import FromContainer
from tests.support.modal_plane.files import Files, Images
from tests.support.modal_plane.fleet import INHERITED, Fleet
from tests.support.modal_plane.functions import Functions
from tests.support.modal_plane.named import Secrets, Volumes
from tests.support.modal_plane.registered import RegisteredApp, registered
from tests.support.modal_plane.state import Container, Delivery, Function, State
from tests.support.modal_plane.web import Web
from tests.support.modal_plane.wire import SUCCESS, Part, decoded, input_of, pb

T = TypeVar("T")


class CallFailed(Exception):
    """What a call ended with instead of a value."""


class ModalPlane:
    """An account with one app or more. Runs on a thread of its own while it is entered."""

    def __init__(
        self,
        secrets: dict[str, dict[str, str]] | None = None,
        *,
        image_env: Mapping[str, str] = MappingProxyType({}),
        idle_s: float = 5,
        most: int = 2,
    ) -> None:
        """`image_env` stands in for the variables of images, whose paths are not here.

        Containers end after `idle_s` without an input; `most` run at once for a function.
        """
        self.secrets = secrets if secrets is not None else {}
        self._folder = Path(tempfile.mkdtemp(prefix="modal-"))
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._state = State(self.secrets)
        self._fleet = Fleet(self._state, self._folder, image_env=image_env, most=most)
        self._idle_s = idle_s
        self._ending: list[Callable[[], Awaitable[object]]] = []
        self.web_url = ""

    def __enter__(self) -> Self:
        self._thread.start()
        self._do(self._start())
        return self

    def __exit__(self, *_: object) -> None:
        self._do(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    # --- deploying

    @property
    def environ(self) -> dict[str, str]:
        """For a process that talks to this account."""
        return {name: os.environ[name] for name in INHERITED if name in os.environ} | {
            "MODAL_SERVER_URL": self._url,
            "MODAL_TOKEN_ID": "ak-tests",
            "MODAL_TOKEN_SECRET": "as-tests",
            "MODAL_CONFIG_PATH": str(self._folder / "modal.toml"),
            "NO_COLOR": "1",
            "COLUMNS": "200",
        }

    def cli(
        self, *arguments: str, cwd: Path, environ: Mapping[str, str] = MappingProxyType({})
    ) -> "subprocess.CompletedProcess[str]":
        """`modal`, as from a shell in which `environ` is exported."""
        return subprocess.run(
            [sys.executable, "-m", "modal", *arguments],
            cwd=cwd,
            env={**self.environ, **environ},
            check=False,
            capture_output=True,
            text=True,
            timeout=120,
        )

    def fill(self, volume: str, files: Mapping[str, int]) -> None:
        """Say what lies in a volume: path to bytes."""
        self._state.volumes[f"vo-{volume}"].files.update(files)

    def asked_of(self, volume: str) -> Mapping[str, int]:
        """Commits and reloads so far."""
        return dict(self._state.volumes[f"vo-{volume}"].asked)

    def has_app(self, name: str) -> bool:
        return self._state.deployed(name) is not None

    def app(self, name: str) -> RegisteredApp:
        app = self._state.deployed(name)
        assert app is not None, f"{name} is not deployed"
        return registered(self._state, app)

    # --- running

    def call(self, tag: str, *arguments: Any, method: str = "") -> str:
        """Spawn it, as the schedule does; the call's id."""

        async def spawn() -> str:
            call = self._state.new_call(self._function(tag))
            self._fleet.put(call, input_of(*arguments, method=method))
            return call.id

        return self._do(spawn())

    def result(self, call_id: str, seconds: float = 60) -> Any:
        """What it returns. Raises CallFailed, and AssertionError while it runs."""

        async def wait() -> Any:
            call = self._state.calls[call_id]
            assert await self._state.changed.until(lambda: call.outputs, seconds), "still runs"
            return call.outputs[0]

        return _value(self._do(wait(), seconds + 5))

    def deliver_next_twice(self, tag: str) -> None:
        """The next input of this function goes to two containers at once."""
        self._state.twice.add(tag)

    def deliver_again(self, delivery: Delivery) -> None:
        async def again() -> None:
            self._fleet.schedule(delivery.input)

        self._do(again())

    def deliveries(self, tag: str) -> list[Delivery]:
        """Inputs as containers got them, of its variants too."""
        return [each for each in self._state.deliveries if each.function.tag == tag]

    def outcome(self, delivery: Delivery, seconds: float = 60) -> Any:
        """What this run of an input returned; with two runs, result() tells the first's.

        Raises CallFailed, and AssertionError while it runs.
        """

        async def wait() -> bool:
            return await self._state.changed.until(lambda: delivery.output, seconds)

        assert self._do(wait(), seconds + 5), "still runs"
        assert delivery.output is not None
        return _value(delivery.output)

    # --- containers

    def containers(self, tag: str) -> list[Container]:
        """Those that live, of its variants too."""
        living = list(self._state.containers.values())
        return [each for each in living if each.function.tag == tag]

    def pid(self, container_id: str) -> int:
        process = self._state.containers[container_id].process
        assert process is not None, f"{container_id} is not started yet"
        return process.pid

    def log(self) -> str:
        """What all containers wrote."""
        every = [*self._state.gone, *self._state.containers.values()]
        return "\n".join(
            f"{container.function.tag} {container.id}: {line}"
            for container in every
            for line in list(container.log)
        )

    def retire(self, container_id: str) -> str:
        """Scale it down, and say how it ended."""
        container = self._state.containers[container_id]
        self._do(self._fleet.retire(container))
        return container.ending

    def kill(self, container_id: str) -> None:
        """SIGKILL; its inputs are run again by another."""

        async def kill() -> None:
            self._fleet.kill(self._state.containers[container_id])

        self._do(kill())

    @contextmanager
    def paused(self, container_id: str) -> Iterator[None]:
        """It does nothing meanwhile, and does not know."""
        pid = self.pid(container_id)
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)

    def preempt(self, container_id: str, grace_s: float = 30) -> None:
        """SIGINT, the grace, SIGKILL; its inputs are run again by another. Waits for its end."""
        container = self._state.containers[container_id]
        self._do(self._fleet.interrupt(container, grace_s), grace_s + 5)

    # --- inside

    def _function(self, tag: str) -> Function:
        return next(
            function
            for function in self._state.functions.values()
            if function.tag == tag and function.base is None
        )

    def _do(self, work: Coroutine[Any, Any, T], seconds: float = 60) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(seconds)

    async def _start(self) -> None:
        await self._start_web()
        parts: list[Part] = [
            Apps(self._state),
            Secrets(self._state),
            Volumes(self._state),
            Files(self._state),
            Images(self._state),
            Functions(self._state, self.web_url),
            Calls(self._state, self._fleet),
        ]

        def serving(container: Container) -> Sequence[Part]:
            return [*parts, FromContainer(self._state, container, self._idle_s)]

        self._fleet.served_by(serving)
        server = Server(parts)
        listening = socket.create_server(("127.0.0.1", 0))
        await server.start(sock=listening)
        self._ending.append(_closing(server))
        self._url = f"http://127.0.0.1:{listening.getsockname()[1]}"

    async def _start_web(self) -> None:
        app = web.Application(client_max_size=1 << 26)
        app.router.add_route("*", "/{label}{path:(/.*)?}", Web(self._state, self._fleet).serve)
        runner = web.AppRunner(app, shutdown_timeout=1, handler_cancellation=True)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self._ending.append(runner.cleanup)
        self.web_url = f"http://127.0.0.1:{runner.addresses[0][1]}"

    async def _stop(self) -> None:
        await self._fleet.stop()
        for end in self._ending:
            with suppress(OSError):
                await end()
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)


def _value(output: pb.FunctionGetOutputsItem | pb.FunctionPutOutputsItem) -> Any:
    if output.result.status != SUCCESS:
        raise CallFailed(output.result.exception or "cancelled")
    return decoded(output.result.data, output.data_format)


def _closing(server: Server) -> Callable[[], Awaitable[object]]:
    async def close() -> None:
        server.close()

    return close
