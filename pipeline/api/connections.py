"""Connections on which nothing goes on.

uvicorn keeps them for ever. A process may have only so many files and so much memory, so whoever
connects and says nothing, or asks for pictures and does not take them, would lock all others out.
"""

import asyncio
import resource

from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

PATIENCE_S = 20.0
"""In which the head of a request must have arrived (up to twice that after an earlier answer), and
something of an answer must have been taken."""
AT_ONCE = 256
"""Connections that may wait to be accepted; so many are, before any is counted."""
SPARE_FILES = AT_ONCE + 128
"""Not for connections, but for the store's and for files that are read."""
FEWEST = 64


class Impatient(H11Protocol):
    """Hangs up on them, and on whoever comes when there are no files left."""

    patience_s = PATIENCE_S
    _silence: asyncio.TimerHandle | None = None
    _jam: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > most_connections():
            transport.close()
        else:
            self._listen_on(None)

    def connection_lost(self, exc: Exception | None) -> None:
        for timer in (self._silence, self._jam):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._require_less_than(self.transport.get_write_buffer_size() + 1)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._jam is not None:
            self._jam.cancel()

    def _listen_on(self, *idle_after: RequestResponseCycle | None) -> None:
        self._silence = self.loop.call_later(self.patience_s, self._require_request, *idle_after)

    def _require_request(self, *idle_after: RequestResponseCycle | None) -> None:
        """`idle_after` is the request that was answered then, None for none yet."""
        if self.cycle is not None and not self.cycle.response_complete:
            self._listen_on()
        elif self.cycle in idle_after:
            self.transport.close()
        else:
            self._listen_on(self.cycle)

    def _require_less_than(self, before: int) -> None:
        """Bytes that wait to be taken."""
        left = self.transport.get_write_buffer_size()
        if left >= before:
            self.transport.abort()
        else:
            self._jam = self.loop.call_later(self.patience_s, self._require_less_than, left)


def most_connections() -> int:
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(FEWEST, files - SPARE_FILES) if files != resource.RLIM_INFINITY else 2**31
