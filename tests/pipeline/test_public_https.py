"""Which addresses are taken for the public internet, which URLs lead there, and what is sent."""

import socket
import time
from pathlib import Path

import pytest

from pipeline.public_https import (
    MAX_URL,
    BadUrl,
    Destination,
    PublicHttps,
    destination_of,
    is_public,
)
from tests.support.https_server import https_server
from tests.support.network import PUBLIC, Network

HOST = "backend.example.com"
PRIVATE = [
    "127.0.0.1", "127.255.255.254", "0.0.0.0", "0.1.2.3", "10.0.0.1", "172.16.0.1",
    "172.31.255.255", "192.168.1.1", "169.254.169.254", "100.64.0.1", "192.0.0.1", "192.0.2.1",
    "198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.1.1.1", "240.0.0.1",
    "255.255.255.255", "::", "::1", "fe80::1", "fe80::1%eth0", "fec0::1", "fc00::1", "fd12::1",
    "ff02::1", "2001:db8::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254",
    "::ffff:0:127.0.0.1", "::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b:1::1", "2002:7f00:1::",
    "2002:a00:1::1", "2001:0:4136:e378:8000:63bf:80ff:fffe", "100::1", "", "localhost",
    "2130706433", "0x7f.1", "127.1",
]  # fmt: skip


@pytest.mark.parametrize("address", PRIVATE)
def test_such_an_address_is_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", [PUBLIC, "8.8.8.8", "172.32.0.1", "2606:4700::1111"])
def test_public_addresses_are(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    ("url", "host", "path"),
    [
        ("https://Example.COM", "example.com", "/"),
        ("https://example.com:443/a/b?c=d&e#f", "example.com", "/a/b?c=d&e"),
        ("https://example.com?x", "example.com", "/?x"),
    ],
)
def test_a_url_leads_to_a_host_and_a_path(url: str, host: str, path: str) -> None:
    assert destination_of(url) == Destination(host, path)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "http://example.com/",
        "https://example.com:444/",
        "https://example.com:x/",
        "https://me@example.com/",
        "https://example.com/a b",
        "https://example.com\\@evil.org/",
        "https://example.com/\r\nHost: evil.org",
        "https://exämple.com/",
        "https://[example.com/",
        "https://example.com/" + "a" * MAX_URL,
    ],
)
def test_such_a_url_leads_nowhere(url: str) -> None:
    with pytest.raises(BadUrl):
        destination_of(url)


def test_the_request_is_whole_and_the_answer_is_the_servers(tmp_path: Path) -> None:
    def answer(_: str, sock: socket.socket) -> None:
        sock.sendall(b"HTTP/1.1 201 x\r\nContent-Length: 2\r\n\r\nok")

    with https_server(tmp_path, [HOST], answer) as server:
        web = Network(server.port).web(server)
        headers = {"Content-Length": "100000", "X-Own": "1"}
        with web.asked(
            "POST",
            Destination(HOST, "/a?b"),
            time.monotonic() + 5,
            headers=headers,
            body=b"x" * 100_000,
        ) as reply:
            assert (reply.status, reply.read()) == (201, b"ok")
    assert server.bodies == [b"x" * 100_000]
    head = server.requests[0]
    assert head.startswith(f"POST /a?b HTTP/1.1\r\nHost: {HOST}\r\n")
    assert "\r\nX-Own: 1\r\n" in head


def test_a_context_is_made_once() -> None:
    web = PublicHttps()
    assert web.tls() is web.tls()
