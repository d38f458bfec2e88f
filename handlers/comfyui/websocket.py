"""ComfyUI's WebSocket as one client id sees it, across drops."""

from contextlib import ExitStack
from urllib.parse import urlsplit

from websockets.exceptions import ConnectionClosed, WebSocketException
from websockets.sync.client import ClientConnection, connect

from config.errors import ComfyProtocolError, ComfyTimeout
from handlers.comfyui.transport import MAX_FILE_BYTES, Transport


class ComfySocket:
    """Opened again after a drop, the stream goes on; what was sent meanwhile is lost."""

    def __init__(self, transport: Transport, client_id: str, *, connect_s: float) -> None:
        parts = urlsplit(transport.base_url)
        scheme = "wss" if parts.scheme == "https" else "ws"
        self._url = f"{scheme}://{parts.netloc}{parts.path}/ws?clientId={client_id}"
        self._transport = transport
        self._connect_s = connect_s
        self._connection: ClientConnection | None = None
        self._resources = ExitStack()

    @property
    def is_open(self) -> bool:
        return self._connection is not None

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
            self.close()
            return None

    def close(self) -> None:
        self._resources.close()
        self._connection = None
