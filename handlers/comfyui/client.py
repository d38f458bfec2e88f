"""The client of one ComfyUI server. Synchronous; usable from several threads."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from types import MappingProxyType
from typing import Any, Self

from config.errors import ComfyError, ComfyProtocolError, GraphRejected, PromptInterrupted
from handlers.comfyui import outputs
from handlers.comfyui.prompt import OnProgress, Prompt, ShouldStop, Waits, Watch, ignore, never
from handlers.comfyui.session import PromptSession
from handlers.comfyui.transport import Reply, Transport
from handlers.comfyui.websocket import ComfySocket
from handlers.kinds.base import PromptRun


class ComfyClient:
    """Each method raises a ComfyError, with the last lines of ComfyUI's log where they may explain
    it."""

    def __init__(
        self,
        base_url: str,
        *,
        output_folder: Path | None = None,
        waits: Waits | None = None,
        clock: Callable[[], float] = time.monotonic,
        log_tail: Callable[[], tuple[str, ...]] = tuple,
    ) -> None:
        """`output_folder` is ComfyUI's, when it is ours to read; else files come over /view.
        `clock` gives seconds that only grow.

        `log_tail` gives its last log lines, which go into the errors that they may explain.
        """
        self._waits = waits or Waits()
        self._folder = output_folder
        self._clock = clock
        self._log_tail = log_tail
        self._transport = Transport(
            base_url, connect_s=self._waits.connect_s, reply_s=self._waits.reply_s, clock=clock
        )
        self._lock = Lock()
        self._kept: ComfySocket | None = None
        """That of the last prompt that ended over it, for the next one."""
        self._ahead: dict[str, PromptSession] = {}
        """Prompts that were sent and that nobody waits for yet, by id."""

    def close(self) -> None:
        for prompt_id in list(self._ahead):
            self.take_back(prompt_id)
        self._keep(None)
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def system_stats(self) -> dict[str, Any]:
        """Versions, devices and memory, as ComfyInfo.of reads them."""
        return self._get("/system_stats")

    def object_info(self) -> dict[str, Any]:
        """The interfaces of every node class that this server has, by class;
        workflows/interfaces.py reads them."""
        return self._get("/object_info")

    def has_node(self, node_class: str) -> bool:
        """Whether this server has a node class."""
        return node_class in self._get(f"/object_info/{node_class}")

    def is_busy(self) -> bool:
        """Whether a prompt runs or waits there."""
        queue = self._get("/queue")
        return bool(queue.get("queue_running") or queue.get("queue_pending"))

    def upload_image(self, body: bytes, name: str) -> str:
        """Store a picture among the inputs. Returns the name it got, which may be another."""
        reply = self._post("/upload/image", files={"image": (name, body)})
        stored = reply.json()
        folder, given = stored.get("subfolder", ""), stored.get("name")
        if not isinstance(given, str) or not given or not isinstance(folder, str):
            raise ComfyProtocolError(f"An upload's answer names no file: {reply.excerpt()}")
        return f"{folder}/{given}" if folder else given

    def interrupt(self, prompt_id: str | None = None) -> None:
        """Stop this prompt if it runs; without an id, whatever runs."""
        self._post("/interrupt", json={"prompt_id": prompt_id} if prompt_id else {})

    def free(self) -> None:
        """Unload the models and empty the node cache, once ComfyUI is idle."""
        self._post("/free", json={"unload_models": True, "free_memory": True})

    def is_in_touch(self) -> bool:
        """Whether it answers over the socket that the last prompt left open. Says nothing of a
        server that no prompt has ended on, or the last of them badly."""
        with self._lock:
            return self._kept is not None and self._kept.is_answered()

    def run(
        self,
        graph: Mapping[str, Any],
        *,
        prompt_id: str,
        deadline_s: float,
        on_progress: OnProgress = ignore,
        should_stop: ShouldStop = never,
        extra_data: Mapping[str, Any] = MappingProxyType({}),
        beside: Mapping[str, Any] = MappingProxyType({}),
        then: Prompt | None = None,
    ) -> PromptRun:
        """Run a graph in API format to its end and read every file that it saved.

        `prompt_id` must be new to this server, or that of a prompt that was sent ahead.
        `on_progress` gets a fraction of 0 to 1 that never falls, and the class of the running node.
        When `should_stop` says so, or after `deadline_s` seconds, the prompt is interrupted.
        `beside` are nodes under ids of their own that nothing is linked to: ComfyUI never runs
        them, but keeps what they gave before. `then` is sent ahead while this one runs: call `run`
        with its id, or take it back. Raises a ComfyError, and then `then` is taken back.
        """
        with self._explained():
            session = self._ahead.pop(prompt_id, None) or self._session(
                Prompt(graph, prompt_id, extra_data, beside)
            )
            try:
                entry = session.run(Watch(deadline_s, on_progress, should_stop), then)
                timings = session.tracker.timings(self._clock())
            finally:
                self._settle(session)
            files = [
                *outputs.read_all(entry.outputs, self._folder, self._transport),
                *session.tracker.images,
            ]
            outputs.check_complete(session.tracker.classes, files)
        on_progress(1.0, None)
        return PromptRun(prompt_id, tuple(files), timings)

    def is_ahead(self, prompt_id: str) -> bool:
        """Whether it was sent ahead, and nobody waits for it yet."""
        return prompt_id in self._ahead

    def take_back(self, prompt_id: str) -> None:
        """Of a prompt that was sent ahead: nobody will wait for it."""
        if session := self._ahead.pop(prompt_id, None):
            session.take_back()
            self._settle(session)

    def _session(self, prompt: Prompt) -> PromptSession:
        with self._lock:
            wire, self._kept = self._kept, None
        if wire is None or not wire.is_alive():
            wire = ComfySocket(self._transport, connect_s=self._waits.connect_s)
        return PromptSession(self._transport, wire, prompt, waits=self._waits, clock=self._clock)

    def _settle(self, session: PromptSession) -> None:
        """The socket goes on to the next prompt. One over which a prompt did not end as it should
        is closed: it may be deaf, and something of that prompt may still come."""
        if session.next is not None:
            self._ahead[session.next.prompt_id] = session.next
        elif session.wire_is_good:
            self._keep(session.wire)
        else:
            session.wire.close()

    def _keep(self, wire: ComfySocket | None) -> None:
        with self._lock:
            before, self._kept = self._kept, wire
        if before is not None:
            before.close()

    def _get(self, path: str) -> dict[str, Any]:
        with self._explained():
            return self._transport.get_json(path)

    def _post(self, path: str, **options: Any) -> Reply:
        with self._explained():
            reply = self._transport.call("POST", path, **options)
            if reply.status != 200:
                raise ComfyProtocolError(f"POST {path} answered {reply.status}: {reply.excerpt()}")
            return reply

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (GraphRejected, PromptInterrupted):
            raise  # they say it all
        except ComfyError as error:
            error.log_tail = error.log_tail or self._log_tail()
            raise
