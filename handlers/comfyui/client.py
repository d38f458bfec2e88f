"""The client of one ComfyUI server. Synchronous; usable from several threads."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any, Self

from config.errors import ComfyError, ComfyProtocolError, GraphRejected, PromptInterrupted
from handlers.comfyui import outputs
from handlers.comfyui.session import OnProgress, PromptSession, ShouldStop, Waits
from handlers.comfyui.transport import Reply, Transport
from handlers.kinds.base import PromptRun


def _ignore(fraction: float, node_class: str | None) -> None:
    """No progress is wanted."""


def _never() -> bool:
    return False


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

    def close(self) -> None:
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
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

    def run(
        self,
        graph: Mapping[str, Any],
        *,
        prompt_id: str,
        deadline_s: float,
        on_progress: OnProgress = _ignore,
        should_stop: ShouldStop = _never,
        extra_data: Mapping[str, Any] = MappingProxyType({}),
        beside: Mapping[str, Any] = MappingProxyType({}),
    ) -> PromptRun:
        """Run a graph in API format to its end and read every file that it saved.

        `prompt_id` must be new to this server. `on_progress` gets a fraction of 0 to 1 that never
        falls, and the class of the running node. When `should_stop` says so, or after `deadline_s`
        seconds, the prompt is interrupted. `beside` are nodes under ids of their own that nothing
        is linked to: ComfyUI never runs them, but keeps what they gave before. Raises a ComfyError.
        """
        with self._explained():
            session = PromptSession(
                self._transport,
                graph,
                prompt_id,
                waits=self._waits,
                clock=self._clock,
                deadline_s=deadline_s,
                on_progress=on_progress,
                should_stop=should_stop,
                extra_data=extra_data,
                beside=beside,
            )
            entry = session.run()
            tracker = session.tracker
            timings = tracker.timings(self._clock())
            files = [
                *outputs.read_all(entry.outputs, self._folder, self._transport),
                *tracker.images,
            ]
            outputs.check_complete(tracker.classes, files)
        on_progress(1.0, None)
        return PromptRun(prompt_id, tuple(files), timings)

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
