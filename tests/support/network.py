"""A stand-in for the internet: every public address leads to one server on loopback."""

import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from pipeline.public_https import PublicHttps
from tests.support.https_server import HttpsServer

PUBLIC = "93.184.216.34"


@dataclass
class Network:
    """Names and addresses as a test wants them. Nobody listens at 192.0.66.x."""

    port: int = 0
    names: dict[str, list[str]] = field(default_factory=dict)
    resolved: list[str] = field(default_factory=list)
    connected: list[str] = field(default_factory=list)

    def resolve(self, host: str) -> Sequence[str]:
        self.resolved.append(host)
        return self.names.get(host, [PUBLIC])

    def connect(
        self, address: str, timeout_s: float, opened: Callable[[socket.socket], None]
    ) -> socket.socket:
        self.connected.append(address)
        if address.startswith("192.0.66."):
            raise ConnectionRefusedError("nobody listens")
        sock = socket.create_connection(("127.0.0.1", self.port), timeout_s)
        try:
            opened(sock)
        except BaseException:  # cut meanwhile
            sock.close()
            raise
        return sock

    def web(self, server: HttpsServer | None = None) -> PublicHttps:
        """This network as the product sees it."""
        if server is None:
            return PublicHttps(self.resolve, self.connect)
        return PublicHttps(self.resolve, self.connect, server.trusting)
