"""Runs one prompt after the other, telling the client what ComfyUI would tell it."""

import asyncio
import contextlib
import hashlib
import json
import logging
import os
import signal
import struct
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from handlers.comfyui.standin import faults
from handlers.comfyui.standin.connections import Connections
from handlers.comfyui.standin.execution_order import is_link, order, signatures
from handlers.comfyui.standin.faults import Fault
from handlers.comfyui.standin.nodes import Job, Result, evaluate
from handlers.comfyui.standin.options import Options
from handlers.comfyui.standin.progress import Progress
from handlers.comfyui.standin.prompts import Prompt, PromptQueue, Record
from handlers.comfyui.standin.recipe import is_sampler, steps
from handlers.comfyui.standin.reference_face import HINT, input_path
from handlers.comfyui.standin.save_nodes import OutsideOutputError, png
from handlers.faces.view_note import VIEW_NOTE
from workflows.execution_checks import failures
from workflows.interfaces import Interfaces

log = logging.getLogger(__name__)
_PNG_FRAME = struct.pack(">II", 1, 2)
"""Head of a binary frame: an image, as PNG."""


class InterruptedPromptError(Exception):
    """Somebody asked the running prompt to stop."""


class OrderedFailureError(Exception):
    """A fault that the prompt itself ordered."""


class OutOfMemoryError(Exception):
    """As torch words it."""


_TYPE_NAMES: Mapping[type[Exception], str] = {
    OutOfMemoryError: "torch.OutOfMemoryError",
    OrderedFailureError: "RuntimeError",
    OutsideOutputError: "Exception",
}


@dataclass
class _Run:
    """One prompt while it runs."""

    prompt: Prompt
    job: Job
    record: Record
    progress: Progress
    executed: list[str]


class Executor:
    def __init__(
        self, options: Options, interfaces: Interfaces, queue: PromptQueue, hub: Connections
    ) -> None:
        self._options = options
        self._interfaces = interfaces
        self._queue = queue
        self._hub = hub
        self._cache: dict[str, Result] = {}
        """By signature; holds what the latest prompt used."""
        self._interrupted = False
        self._free_wanted = False

    def interrupt(self, prompt_id: str | None) -> None:
        """Stop what runs, or only this prompt if it is the one."""
        running = self._queue.running
        if prompt_id is None or (running is not None and running.id == prompt_id):
            self._interrupted = True

    def free(self) -> None:
        """Empty the node cache before the next prompt."""
        self._free_wanted = True

    async def serve(self) -> None:
        while True:
            prompt = await self._queue.take()
            if self._free_wanted:
                self._cache, self._free_wanted = {}, False
            self._hub.client_id, self._interrupted = prompt.client_id, False
            started = time.monotonic()
            record = await self._run(prompt)
            log.info("Prompt executed in %.2f seconds", time.monotonic() - started)
            self._queue.done(prompt, record)
            self._hub.last_node = None
            self._hub.send("executing", {"node": None, "prompt_id": prompt.id})

    async def _run(self, prompt: Prompt) -> Record:
        ordered = faults.read(prompt.graph, allowed=self._options.allow_faults)
        signed = signatures(prompt.graph, prompt.outputs, self._interfaces, self._changes(prompt))
        job = Job(self._options, prompt.graph, signed, prompt.extra_data, ordered)
        run = _Run(prompt, job, Record(), Progress(self._hub, prompt.id), [])
        self._cache = {key: self._cache[key] for key in signed.values() if key in self._cache}
        cached = [node_id for node_id in prompt.graph if signed.get(node_id) in self._cache]
        self._message(run, "execution_start", {})
        self._message(run, "execution_cached", {"nodes": cached})
        for node_id in order(prompt.graph, prompt.outputs, cached, self._interfaces):
            try:
                await self._node(run, node_id)
            except InterruptedPromptError:
                run.record.status = "error"
                self._message(run, "execution_interrupted", self._where(run, node_id))
                return run.record
            except Exception as error:  # noqa: BLE001 - a node may raise anything; the client hears it
                log.error("!!! Exception during processing !!! %s", error)
                run.record.status = "error"
                self._message(run, "execution_error", self._failure(run, node_id, error))
                return run.record
        self._message(run, "execution_success", {})
        return run.record

    async def _node(self, run: _Run, node_id: str) -> None:
        key = run.job.signatures[node_id]
        cached = self._cache.get(key)
        if cached is not None:
            self._ui_output(run, node_id, cached)
            run.progress.finish_cached(node_id)
            return
        if self._interrupted:
            raise InterruptedPromptError
        run.progress.start(node_id)
        self._hub.last_node = node_id
        self._hub.send(
            "executing", {"node": node_id, "display_node": node_id, "prompt_id": run.prompt.id}
        )
        node = run.prompt.graph[node_id]
        interface = self._interfaces.nodes[node["class_type"]]
        for failure in failures(run.prompt.graph, node_id, self._interfaces):
            raise failure.exception
        if is_sampler(interface.name):
            await self._sample(run, node_id)
        result = await asyncio.to_thread(
            evaluate, run.job, node_id, interface, self._values(run, node_id)
        )
        await self._stream(run, node_id, result)
        self._cache[key] = result
        run.executed.append(node_id)
        self._ui_output(run, node_id, result)
        run.progress.finish(node_id)

    async def _sample(self, run: _Run, node_id: str) -> None:
        ordered = run.job.faults
        if Fault.DIE in ordered:
            os.kill(os.getpid(), signal.SIGKILL)
        if Fault.HANG in ordered:
            await asyncio.Event().wait()
        if Fault.OOM in ordered:
            raise OutOfMemoryError("Allocation on device 0 would exceed allowed memory.")
        if Fault.ERROR in ordered:
            raise OrderedFailureError("the prompt ordered this failure")
        total = steps(run.prompt.graph, node_id)
        for step in range(1, total + 1):
            await asyncio.sleep(self._options.step_seconds + ordered.extra_seconds / total)
            if self._interrupted:
                raise InterruptedPromptError
            run.progress.step(node_id, step, total)

    async def _stream(self, run: _Run, node_id: str, result: Result) -> None:
        for n, image in enumerate(result.streamed):
            run.progress.step(node_id, n, len(result.streamed))
            self._hub.send_binary(_PNG_FRAME + await asyncio.to_thread(png, image))
        if result.streamed:
            run.progress.set(node_id, len(result.streamed), len(result.streamed))

    def _ui_output(self, run: _Run, node_id: str, result: Result) -> None:
        if result.ui is None or Fault.DROP_OUTPUT in run.job.faults:
            return
        run.record.outputs[node_id] = dict(result.ui)
        run.record.meta[node_id] = {
            "node_id": node_id,
            "display_node": node_id,
            "parent_node": None,
            "real_node_id": node_id,
        }
        self._hub.send(
            "executed",
            {
                "node": node_id,
                "display_node": node_id,
                "output": dict(result.ui),
                "prompt_id": run.prompt.id,
            },
        )

    def _values(self, run: _Run, node_id: str) -> dict[str, Any]:
        values = {}
        for name, value in run.prompt.graph[node_id]["inputs"].items():
            if is_link(value):
                result = self._cache[run.job.signatures[value[0]]]
                values[name] = result.outputs[value[1]]
            else:
                values[name] = value
        return values

    def _message(self, run: _Run, event: str, data: dict[str, Any]) -> None:
        """Something that history keeps too."""
        full = {**data, "prompt_id": run.prompt.id, "timestamp": int(time.time() * 1000)}
        run.record.messages.append([event, full])
        self._hub.send(event, full)

    def _where(self, run: _Run, node_id: str) -> dict[str, Any]:
        class_type = run.prompt.graph[node_id]["class_type"]
        return {"node_id": node_id, "node_type": class_type, "executed": list(run.executed)}

    def _failure(self, run: _Run, node_id: str, error: Exception) -> dict[str, Any]:
        inputs = self._values(run, node_id)
        return {
            **self._where(run, node_id),
            "exception_message": str(error),
            "exception_type": _TYPE_NAMES.get(type(error), type(error).__name__),
            "traceback": [],
            "current_inputs": {name: [_shown(value)] for name, value in inputs.items()},
            "current_outputs": list(run.prompt.graph),
        }

    def _changes(self, prompt: Prompt) -> Any:
        """What makes a node run again although its inputs are equal."""

        def change(node_id: str) -> str:
            node = prompt.graph[node_id]
            if node["class_type"] == "SaveImageWebsocket":
                return str(time.monotonic_ns())
            name, noted = node["inputs"].get("image"), ""
            if is_sampler(node["class_type"]):
                name = prompt.extra_data.get(HINT)
                noted = json.dumps(prompt.extra_data.get(VIEW_NOTE), sort_keys=True)
            if isinstance(name, str):
                with contextlib.suppress(OSError):  # gone meanwhile: the node itself will say so
                    path = input_path(self._options.input, name)
                    return hashlib.sha256(path.read_bytes()).hexdigest() + noted
            return noted

        return change


def _shown(value: Any) -> Any:
    return value if isinstance(value, str | int | float | bool) else repr(value)
