"""Prompts waiting, running and done, as /queue and /history show them. Kept in memory only."""

import asyncio
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

HISTORY_LENGTH = 10_000


@dataclass(frozen=True)
class Prompt:
    number: float
    """Pending prompts run in this order."""
    id: str
    graph: dict[str, Any]
    extra_data: dict[str, Any]
    outputs: tuple[str, ...]

    @property
    def client_id(self) -> str | None:
        return self.extra_data.get("client_id")

    def api(self) -> list[Any]:
        return [self.number, self.id, self.graph, self.extra_data, list(self.outputs)]


@dataclass
class Record:
    """What history keeps of a prompt."""

    outputs: dict[str, Any] = field(default_factory=dict)
    meta: dict[str, Any] = field(default_factory=dict)
    messages: list[list[Any]] = field(default_factory=list)
    status: str = "success"

    def api(self, prompt: Prompt) -> dict[str, Any]:
        return {
            "prompt": prompt.api(),
            "outputs": self.outputs,
            "status": {
                "status_str": self.status,
                "completed": self.status == "success",
                "messages": self.messages,
            },
            "meta": self.meta,
        }


class PromptQueue:
    """`changed` is called whenever the number of prompts left may have changed."""

    def __init__(self, changed: Callable[[], None]) -> None:
        self._changed = changed
        self._pending: list[Prompt] = []
        self._running: Prompt | None = None
        self._history: dict[str, dict[str, Any]] = {}
        self._arrived = asyncio.Event()
        self.next_number = 0

    @property
    def running(self) -> Prompt | None:
        return self._running

    @property
    def remaining(self) -> int:
        return len(self._pending) + (self._running is not None)

    def put(self, prompt: Prompt) -> None:
        self._pending.append(prompt)
        self._pending.sort(key=lambda each: each.number)
        self._arrived.set()
        self._changed()

    async def take(self) -> Prompt:
        while not self._pending:
            self._arrived.clear()
            await self._arrived.wait()
        self._running = self._pending.pop(0)
        self._changed()
        return self._running

    def done(self, prompt: Prompt, record: Record) -> None:
        self._history.pop(prompt.id, None)
        self._history[prompt.id] = record.api(prompt)
        while len(self._history) > HISTORY_LENGTH:
            del self._history[next(iter(self._history))]
        self._running = None
        self._changed()

    def delete(self, ids: Collection[str]) -> None:
        """Forget pending prompts: nothing is told to anyone, and history never hears of them."""
        kept = [prompt for prompt in self._pending if prompt.id not in ids]
        if len(kept) != len(self._pending):
            self._pending = kept
            self._changed()

    def clear(self) -> None:
        self._pending = []
        self._changed()

    def queue(self) -> dict[str, Any]:
        running = [self._running.api()] if self._running is not None else []
        return {
            "queue_running": running,
            "queue_pending": [prompt.api() for prompt in self._pending],
        }

    def history(self, max_items: int | None = None, offset: int = -1) -> dict[str, Any]:
        """The newest `max_items`, or as many from `offset` (0 is the oldest) on."""
        ids = list(self._history)
        if offset < 0 and max_items is not None:
            offset = max(0, len(ids) - max_items)
        start = max(0, offset)
        end = None if max_items is None else start + max_items
        return {prompt_id: self._history[prompt_id] for prompt_id in ids[start:end]}

    def record(self, prompt_id: str) -> Mapping[str, Any]:
        found = self._history.get(prompt_id)
        return {prompt_id: found} if found is not None else {}

    def forget(self, ids: Collection[str] | None) -> None:
        """Drop these from history, or everything."""
        for prompt_id in list(self._history) if ids is None else ids:
            self._history.pop(prompt_id, None)
