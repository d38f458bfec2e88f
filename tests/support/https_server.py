"""An HTTPS server on loopback with a certificate of its own, for code that asks hosts."""

import datetime
import re
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

Answer = Callable[[str, socket.socket], None]
"""Gets the request's head and writes whatever it likes."""


@dataclass
class HttpsServer:
    port: int
    certificate: Path
    requests: list[str] = field(default_factory=list)
    """Heads, in order."""
    bodies: list[bytes] = field(default_factory=list)
    """Of the requests, in the same order."""
    served_names: list[str] = field(default_factory=list)
    """Of the TLS handshakes."""

    def trusting(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.certificate))


@contextmanager
def https_server(folder: Path, hosts: Sequence[str], answer: Answer) -> Iterator[HttpsServer]:
    certificate = _certificate(folder, hosts)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = HttpsServer(listener.getsockname()[1], certificate)
        context.sni_callback = lambda sock, name, ctx: server.served_names.append(str(name))
        thread = threading.Thread(target=_serve, args=(listener, context, server, answer))
        thread.start()
        try:
            yield server
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def _serve(
    listener: socket.socket, context: ssl.SSLContext, server: HttpsServer, answer: Answer
) -> None:
    while True:
        try:
            raw, _ = listener.accept()
        except OSError:
            return
        with raw, suppress(OSError):
            raw.settimeout(5)
            with context.wrap_socket(raw, server_side=True) as sock:
                head = b""
                while b"\r\n\r\n" not in head and (more := sock.recv(4096)):
                    head += more
                text, body = _apart(head, sock)
                server.bodies.append(body)
                server.requests.append(text)
                answer(text, sock)


def _apart(received: bytes, sock: socket.socket) -> tuple[str, bytes]:
    """Head and body of a request whose head has come."""
    head, end, body = received.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)\ncontent-length: *(\d+)", head)
    while length and len(body) < int(length[1]) and (more := sock.recv(65_536)):
        body += more
    return (head + end).decode(), body


def _certificate(folder: Path, hosts: Sequence[str]) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "tests")])
    now = datetime.datetime.now(datetime.UTC)
    names = x509.SubjectAlternativeName([x509.DNSName(host) for host in hosts])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(names, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / "server.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    return path
