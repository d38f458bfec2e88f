"""One prompt from POST to its end, over a socket that is open before the POST.

The socket tells most; where it is silent or gone, /queue and /history are asked. Whatever way a
session ends early, its prompt is taken off ComfyUI's queue or interrupted, so that no GPU time goes
into a result that nobody reads.

    submit() ─ run() ──────────────┐          The next prompt is sent while one runs. ComfyUI takes
       then: submit() ─────────────┴─ run()   one after the other, and so do the frames.
"""

import math
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, Literal

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
from handlers.comfyui.prompt import Prompt, Waits, Watch
from handlers.comfyui.prompt_tracker import PromptTracker
from handlers.comfyui.replies import HistoryEntry
from handlers.comfyui.transport import Reply, Transport
from handlers.comfyui.websocket import ComfySocket
from system.backoff import Backoff

_TICK_S: Final = 0.2
"""How often `should_stop` and the deadline are looked at while the socket is silent."""
_HISTORY_BACKOFF: Final = Backoff(first_s=0.005, longest_s=_TICK_S)


class PromptSession:
    def __init__(
        self,
        transport: Transport,
        wire: ComfySocket,
        prompt: Prompt,
        *,
        waits: Waits,
        clock: Callable[[], float],
    ) -> None:
        self.tracker = PromptTracker(prompt.graph, prompt.id)
        self.wire = wire
        self.next: PromptSession | None = None
        """Over the same socket, once this one has sent it."""
        self._transport = transport
        self._prompt = prompt
        self._id = prompt.id
        self._waits = waits
        self._clock = clock
        self._watched = Watch()
        self._deadline = math.inf
        self._reported: tuple[float, str | None] = (0.0, None)
        self._drops = 0
        """Of the socket, when the prompt was sent."""
        self._reopen_at = 0.0
        self._poll_at = 0.0
        self._alive_at = 0.0
        self._absences = 0
        self._entry: HistoryEntry | None = None
        self._sent = False
        self._unsettled = False
        """The prompt may be in ComfyUI's hands."""

    def run(self, watch: Watch, then: Prompt | None = None) -> HistoryEntry:
        """Run the prompt to its end. What it saved stands in the history entry. Meanwhile `then` is
        sent, which ComfyUI begins right afterwards; its session stands in `next`.

        Raises a ComfyError, or whatever `on_progress` and `should_stop` raise; the next prompt is
        taken back then too.
        """
        self._watched, self._deadline = watch, self._clock() + watch.deadline_s
        try:
            if not self._sent:
                self.submit()
            self._heard()
            if then is not None:
                self._send_ahead(then)
            self._follow()
            return self._outcome()
        except BaseException:
            self.take_back()
            raise

    @property
    def prompt_id(self) -> str:
        return self._prompt.id

    @property
    def wire_is_good(self) -> bool:
        """Whether the prompt's end came over the socket, so that the next one's will."""
        return self.tracker.ended

    def take_back(self) -> None:
        """Nobody waits for the prompt any more, nor for the next one. The last comes first, or
        ComfyUI would begin it."""
        if self.next is not None:
            self.next.take_back()
            self.next = None
        if self._unsettled:
            self._withdraw()

    # -- submitting

    def _send_ahead(self, then: Prompt) -> None:
        """What goes wrong with it is told by its own run, which sends it again: never delivered, or
        refused."""
        ahead = PromptSession(
            self._transport, self.wire, then, waits=self._waits, clock=self._clock
        )
        try:
            ahead.submit()
        except ComfyError:
            ahead.take_back()
            return
        self.next = ahead

    def submit(self) -> None:
        """POST once. It is not idempotent: the same id posted twice runs twice. The socket is open
        before it, so none of its frames is lost.

        Raises a ComfyError.
        """
        if not self.wire.is_open:
            self.wire.open()
        self._drops = self.wire.drops
        self._heard()
        body: dict[str, Any] = {
            "prompt": {**self._prompt.graph, **self._prompt.beside},
            "client_id": self.wire.client_id,
            "prompt_id": self._id,
        }
        if self._prompt.extra_data:
            body["extra_data"] = self._prompt.extra_data
        for may_repeat in (True, False):
            self._unsettled = True
            try:
                self._accept(self._transport.send("POST", "/prompt", json=body))
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                self._unsettled = False  # never delivered
                raise self._transport.translate(error, "POST /prompt") from error
            except httpx.RequestError as error:
                if self._has_appeared():
                    self._sent = True
                    return
                # A server that is merely slow can still apply the first one.
                if isinstance(error, httpx.TimeoutException) or not may_repeat:
                    raise self._transport.translate(error, "POST /prompt") from error
            else:
                self._sent = True
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

    def _follow(self) -> None:
        while not self.tracker.ended and self._entry is None:
            self._obey()
            self._listen()
            if self._clock() >= self._poll_at and not self.tracker.ended:
                self._poll()
        self._unsettled = False

    def _obey(self) -> None:
        if self._watched.should_stop():
            raise PromptInterrupted("Stopped on request" + self._stop())
        if self._clock() >= self._deadline:
            raise ComfyTimeout(f"No end within {self._watched.deadline_s:g} s" + self._stop())
        if (stalled := self.tracker.stalled_s(self._clock())) is not None:
            since_s, step_s = stalled
            if since_s > max(self._waits.step_s, self._waits.pace * step_s):
                raise ComfyTimeout(
                    f"No step for {since_s:.0f} s, where one takes {step_s:.1f} s: ComfyUI hangs"
                    + self._stop()
                )

    def _listen(self) -> None:
        """Take one frame, or let one tick pass."""
        if not self.wire.is_open and not self._reopen():
            time.sleep(_TICK_S)
            return
        message, now = self.wire.receive(_TICK_S), self._clock()
        if not self.wire.is_open:
            self._poll_at = now
        if message is None:
            return
        self._alive_at = now
        if self.tracker.take(frames.parse(message), now):
            self._heard()
        report = (self.tracker.fraction, self.tracker.node_class)
        if report != self._reported and not self.tracker.ended:
            self._reported = report
            self._watched.on_progress(*report)

    def _reopen(self) -> bool:
        now = self._clock()
        if now < self._reopen_at:
            return False
        self._reopen_at = now + 1.0
        with suppress(ComfyError):
            self.wire.open()
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
        if not self.wire.is_open:
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
        missed = self.wire.drops != self._drops
        if missed or not tracker.succeeded or not savers <= tracker.shown.keys():
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
        self.take_back()
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
