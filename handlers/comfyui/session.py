"""One prompt from POST to its end, over a socket of its own.

The socket tells most; where it is silent or gone, /queue and /history are asked. Whatever way a
session ends early, its prompt is taken off ComfyUI's queue or interrupted, so that no GPU time goes
into a result that nobody reads.
"""

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, Literal
from uuid import uuid4

import httpx

from config.errors import (
    ComfyDied,
    ComfyError,
    ComfyProtocolError,
    ComfyTimeout,
    GraphRejected,
    PromptInterrupted,
)
from handlers.comfyui import frames, outputs, replies
from handlers.comfyui.prompt_tracker import PromptTracker
from handlers.comfyui.replies import HistoryEntry
from handlers.comfyui.transport import Reply, Transport
from handlers.comfyui.websocket import ComfySocket
from system.backoff import Backoff

OnProgress = Callable[[float, str | None], None]
"""Gets a fraction of 0 to 1 that never falls, and the class of the running node."""
ShouldStop = Callable[[], bool]
"""Whether to interrupt the prompt. Asked with every frame, and each 0.2 s without one."""

_TICK_S: Final = 0.2
"""How often `should_stop` and the deadline are looked at while the socket is silent."""
_HISTORY_BACKOFF: Final = Backoff(first_s=0.005, longest_s=_TICK_S)


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


class PromptSession:
    def __init__(
        self,
        transport: Transport,
        graph: Mapping[str, Any],
        prompt_id: str,
        *,
        waits: Waits,
        clock: Callable[[], float],
        deadline_s: float,
        on_progress: OnProgress,
        should_stop: ShouldStop,
        extra_data: Mapping[str, Any],
        beside: Mapping[str, Any],
    ) -> None:
        self.tracker = PromptTracker(graph, prompt_id)
        self._transport = transport
        self._graph = {**graph, **beside}
        self._id = prompt_id
        self._client_id = uuid4().hex
        self._waits = waits
        self._clock = clock
        self._deadline_s = deadline_s
        self._deadline = clock() + deadline_s
        self._on_progress = on_progress
        self._should_stop = should_stop
        self._extra_data = extra_data
        self._reported: tuple[float, str | None] = (0.0, None)
        self._wire = ComfySocket(transport, self._client_id, connect_s=waits.connect_s)
        self._reopen_at = 0.0
        self._poll_at = 0.0
        self._alive_at = 0.0
        self._absences = 0
        self._entry: HistoryEntry | None = None
        self._missed = False
        """The socket was gone for a while: frames may have been lost."""
        self._unsettled = False
        """The prompt may be in ComfyUI's hands."""

    def run(self) -> HistoryEntry:
        """Run the prompt to its end. What it saved stands in the history entry.

        Raises a ComfyError, or whatever `on_progress` and `should_stop` raise.
        """
        try:
            self._wire.open()
            self._submit()
            self._watch()
            return self._outcome()
        finally:
            if self._unsettled:
                self._withdraw()
            self._wire.close()

    # -- submitting

    def _submit(self) -> None:
        """POST once. It is not idempotent: the same id posted twice runs twice."""
        self._heard()
        body: dict[str, Any] = {
            "prompt": self._graph,
            "client_id": self._client_id,
            "prompt_id": self._id,
        }
        if self._extra_data:
            body["extra_data"] = self._extra_data
        for may_repeat in (True, False):
            self._unsettled = True
            try:
                self._accept(self._transport.send("POST", "/prompt", json=body))
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                self._unsettled = False  # never delivered
                raise self._transport.translate(error, "POST /prompt") from error
            except httpx.RequestError as error:
                if self._has_appeared():
                    return
                # A server that is merely slow can still apply the first one.
                if isinstance(error, httpx.TimeoutException) or not may_repeat:
                    raise self._transport.translate(error, "POST /prompt") from error
            else:
                return

    def _has_appeared(self) -> bool:
        until = self._clock() + self._waits.settle_s
        while True:
            if self._whereabouts() is not None:
                return True
            if self._clock() >= until:
                return False
            time.sleep(_TICK_S / 4)

    def _accept(self, reply: Reply) -> None:
        if reply.status == 200:
            body = reply.json()
            if body.get("node_errors"):  # it dropped these outputs and runs the rest
                raise replies.rejection(body, self.tracker.classes)
            if body.get("prompt_id") != self._id:
                raise ComfyProtocolError(
                    f"ComfyUI took the prompt under another id: {body.get('prompt_id')!r}",
                    hint="This ComfyUI is too old to let its client choose the prompt_id.",
                )
            return
        self._unsettled = reply.status >= 500
        if reply.status == 400:
            raise replies.rejection(reply.json(), self.tracker.classes)
        if reply.status == 413:
            raise GraphRejected("The graph is larger than ComfyUI takes", hint=reply.excerpt())
        raise ComfyProtocolError(f"POST /prompt answered {reply.status}: {reply.excerpt()}")

    # -- watching

    def _watch(self) -> None:
        while not self.tracker.ended and self._entry is None:
            self._obey()
            self._listen()
            if self._clock() >= self._poll_at and not self.tracker.ended:
                self._poll()
        self._unsettled = False

    def _obey(self) -> None:
        if self._should_stop():
            raise PromptInterrupted("Stopped on request" + self._stop())
        if self._clock() >= self._deadline:
            raise ComfyTimeout(f"No end within {self._deadline_s:g} s" + self._stop())
        if (stalled := self.tracker.stalled_s(self._clock())) is not None:
            since_s, step_s = stalled
            if since_s > max(self._waits.step_s, self._waits.pace * step_s):
                raise ComfyTimeout(
                    f"No step for {since_s:.0f} s, where one takes {step_s:.1f} s: ComfyUI hangs"
                    + self._stop()
                )

    def _listen(self) -> None:
        """Take one frame, or let one tick pass."""
        if not self._wire.is_open and not self._reopen():
            time.sleep(_TICK_S)
            return
        message, now = self._wire.receive(_TICK_S), self._clock()
        if not self._wire.is_open:
            self._poll_at = now
        if message is None:
            return
        self._alive_at = now
        if self.tracker.take(frames.parse(message), now):
            self._heard()
        report = (self.tracker.fraction, self.tracker.node_class)
        if report != self._reported and not self.tracker.ended:
            self._reported = report
            self._on_progress(*report)

    def _reopen(self) -> bool:
        self._missed = True
        now = self._clock()
        if now < self._reopen_at:
            return False
        self._reopen_at = now + 1.0
        with suppress(ComfyError):
            self._wire.open()
            self._poll_at = now  # the end may have been among what was lost
            return True
        return False

    def _heard(self) -> None:
        self._alive_at = self._clock()
        self._poll_at = self._alive_at + self._waits.poll_s
        self._absences = 0

    def _poll(self) -> None:
        try:
            found = self._whereabouts()
        except ComfyTimeout:
            if self._clock() - self._alive_at >= self._waits.silence_s:
                raise
            return
        if found is None:
            self._absences += 1
            self._poll_at = self._clock() + _TICK_S
            if self._absences > 2:
                self._unsettled = False
                raise self._vanished()
            return
        self._heard()
        self.tracker.started |= found != "pending"
        if not self._wire.is_open:
            self._poll_at = self._clock() + self._waits.poll_s / 4
        if isinstance(found, HistoryEntry):
            self._entry = found

    def _whereabouts(self) -> HistoryEntry | Literal["running", "pending"] | None:
        """The queue first: a prompt that ends between the two requests is in the second."""
        wait = self._waits.poll_reply_s
        queue = self._transport.get_json("/queue", within_s=wait)
        if place := replies.place_in_queue(queue, self._id):
            return place
        history = self._transport.get_json(f"/history/{self._id}", within_s=wait)
        return replies.history_entry(history, self._id)

    def _vanished(self) -> ComfyError:
        if self.tracker.started:
            return ComfyDied("The prompt had started and is gone: ComfyUI was restarted")
        return PromptInterrupted("The prompt was deleted from ComfyUI's queue before it ran")

    # -- ending

    def _outcome(self) -> HistoryEntry:
        if self.tracker.failure is not None:
            raise replies.failure_error(self.tracker.failure)
        entry = self._entry or self._heard_entry() or self._await_history()
        if entry.failure is not None:
            raise replies.failure_error(entry.failure)
        if not entry.success:
            raise ComfyProtocolError("The prompt failed and ComfyUI's history does not say why")
        return entry

    def _heard_entry(self) -> HistoryEntry | None:
        """What /history would say, where the socket said it all: ComfyUI answers late while it
        collects garbage after a prompt."""
        tracker = self.tracker
        savers = {node for node, name in tracker.classes.items() if name in outputs.SAVERS}
        if self._missed or not tracker.succeeded or not savers <= tracker.shown.keys():
            return None
        return HistoryEntry(True, None, tuple(replies.output_refs(tracker.shown)))

    def _await_history(self) -> HistoryEntry:
        until, pauses = self._clock() + self._waits.history_s, _HISTORY_BACKOFF.pauses()
        while True:
            body = self._transport.get_json(f"/history/{self._id}")
            if entry := replies.history_entry(body, self._id):
                return entry
            if self._clock() >= until:
                raise ComfyProtocolError("The prompt ended and ComfyUI wrote no history for it")
            time.sleep(next(pauses))

    def _stop(self) -> str:
        """Take the prompt back and wait a little for its end. Says so if it does not come."""
        self._withdraw()
        until = self._clock() + self._waits.stop_s
        with suppress(ComfyError):
            while self._clock() < until:
                self._listen()
                if self.tracker.ended or self._whereabouts() not in ("running", "pending"):
                    return ""
        return "; ComfyUI did not stop when asked"

    def _withdraw(self) -> None:
        """Best effort: delete if it waits, interrupt if it runs."""
        self._unsettled = False
        wait = self._waits.stop_s
        with suppress(ComfyError):
            self._transport.call("POST", "/queue", within_s=wait, json={"delete": [self._id]})
            self._transport.call("POST", "/interrupt", within_s=wait, json={"prompt_id": self._id})
