"""ComfyUI's WebSocket as one client id sees it, across drops and from prompt to prompt."""

from contextlib import ExitStack
from typing import Final
from urllib.parse import urlsplit
from uuid import uuid4

from websockets.exceptions import ConnectionClosed, WebSocketException
from websockets.protocol import State
from websockets.sync.client import ClientConnection, connect

from config.errors import ComfyProtocolError, ComfyTimeout
from handlers.comfyui.transport import MAX_FILE_BYTES, Transport

_PONG_S: Final = 5.0


class ComfySocket:
    """Opened again after a drop, the stream goes on; what was sent meanwhile is lost."""

    def __init__(self, transport: Transport, *, connect_s: float) -> None:
        parts = urlsplit(transport.base_url)
        scheme = "wss" if parts.scheme == "https" else "ws"
        self.client_id = uuid4().hex
        """One for each socket object: what ComfyUI still has to say of prompts that were given up
        goes to their own."""
        self.drops = 0
        """How often it has dropped: frames of prompts that were sent before may be lost."""
        self._url = f"{scheme}://{parts.netloc}{parts.path}/ws?clientId={self.client_id}"
        self._transport = transport
        self._connect_s = connect_s
        self._connection: ClientConnection | None = None
        self._resources = ExitStack()

    @property
    def is_open(self) -> bool:
        """Whether it was open when it was last looked at."""
        return self._connection is not None

    def is_alive(self) -> bool:
        """Whether it is open still, as far as this side has heard. Closes it where it is not."""
        if self._connection is not None and self._connection.state is not State.OPEN:
            self._drop()
        return self._connection is not None

    def is_answered(self, within_s: float = _PONG_S) -> bool:
        """Whether the other side answers. Not to be asked while a prompt runs, when a ComfyUI that
        is well may take long."""
        if not self.is_alive():
            return False
        assert self._connection is not None
        try:
            return self._connection.ping().wait(within_s)
        except ConnectionClosed:
            self._drop()
            return False

    def open(self) -> None:
        """Raises ComfyUnavailable, ComfyDied, ComfyTimeout or ComfyProtocolError."""
        try:
            self._connection = self._resources.enter_context(
                connect(
                    self._url,
                    open_timeout=self._connect_s,
                    close_timeout=0.5,
                    ping_interval=None,  # a busy ComfyUI answers no ping and is not dead
                    compression=None,
                    proxy=None,
                    max_size=MAX_FILE_BYTES,
                    # Nobody takes frames between two prompts, and ComfyUI must not wait for that:
                    # it sends the frames of all its clients one after the other.
                    max_queue=None,
                )
            )
        except WebSocketException as error:
            raise ComfyProtocolError(f"No WebSocket at {self._url}: {error}") from error
        except TimeoutError as error:
            raise ComfyTimeout(f"No WebSocket at {self._url} in time") from error
        except OSError as error:
            raise self._transport.gone(f"No connection to {self._url}: {error}") from error

    def receive(self, within_s: float) -> str | bytes | None:
        """The next message, text or a binary frame; None when none came within `within_s`, or the
        socket dropped and is closed."""
        assert self._connection is not None
        try:
            return self._connection.recv(timeout=within_s)
        except TimeoutError:
            return None
        except ConnectionClosed:
            self._drop()
            return None

    def close(self) -> None:
        self._resources.close()
        self._connection = None

    def _drop(self) -> None:
        self.drops += 1
        self.close()
