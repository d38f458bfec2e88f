"""WebSocket clients: one socket for each client id, and messages for that one or for all."""

import asyncio
import uuid
from typing import Any

Frame = dict[str, Any] | bytes


class Connection:
    def __init__(self, sid: str) -> None:
        self.sid = sid
        self.frames: asyncio.Queue[Frame] = asyncio.Queue()


class Connections:
    """A later socket with the same client id takes over: the earlier one hears nothing more."""

    def __init__(self) -> None:
        self._by_sid: dict[str, Connection] = {}
        self.client_id: str | None = None
        """Whom the running prompt belongs to."""
        self.last_node: str | None = None
        """The node that runs, for a client that comes back in mid-prompt."""

    def connect(self, client_id: str | None, remaining: int) -> Connection:
        connection = Connection(client_id or uuid.uuid4().hex)
        self._by_sid[connection.sid] = connection
        connection.frames.put_nowait(
            {"type": "status", "data": {**_status(remaining), "sid": connection.sid}}
        )
        if connection.sid == self.client_id and self.last_node is not None:
            connection.frames.put_nowait({"type": "executing", "data": {"node": self.last_node}})
        return connection

    def disconnect(self, connection: Connection) -> None:
        # By id, as ComfyUI does it: the end of a socket that was taken over silences its successor.
        self._by_sid.pop(connection.sid, None)

    def send(self, event: str, data: dict[str, Any]) -> None:
        """To the client of the running prompt, if it is there."""
        self._put({"type": event, "data": data})

    def send_binary(self, body: bytes) -> None:
        self._put(body)

    def broadcast_status(self, remaining: int) -> None:
        for connection in self._by_sid.values():
            connection.frames.put_nowait({"type": "status", "data": _status(remaining)})

    def _put(self, frame: Frame) -> None:
        connection = self._by_sid.get(self.client_id) if self.client_id else None
        if connection is not None:
            connection.frames.put_nowait(frame)


def _status(remaining: int) -> dict[str, Any]:
    return {"status": {"exec_info": {"queue_remaining": remaining}}}
