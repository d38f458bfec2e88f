import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from threading import Event, Thread

import pytest
from PIL import Image

from config.errors import InvalidInput
from handlers.media.intake_process import Patience, PictureAbandoned
from pipeline.inputs.intake import take_in
from pipeline.inputs.remote import MAX_REDIRECTS, ImageFetcher
from tests.pipeline.inputs.test_intake import FaceInput, data_url
from tests.support.https_server import HttpsServer, https_server
from tests.support.network import PUBLIC, Network

HOSTS = frozenset({"pics.example.com", "cdn.example.com"})


def png() -> bytes:
    file = BytesIO()
    Image.new("RGB", (8, 8), "red").save(file, "PNG")
    return file.getvalue()


def ok(body: bytes, *headers: str) -> bytes:
    head = ("HTTP/1.1 200 OK", f"Content-Length: {len(body)}", *headers, "", "")
    return "\r\n".join(head).encode() + body


def redirect(to: str, status: int = 302) -> bytes:
    return f"HTTP/1.1 {status} Found\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n".encode()


@dataclass(frozen=True)
class Site:
    server: HttpsServer
    network: Network
    fetcher: ImageFetcher


@contextmanager
def site(
    folder: Path, replies: dict[str, bytes] | Callable[[str, socket.socket], None]
) -> Iterator[Site]:
    def from_table(head: str, sock: socket.socket) -> None:
        assert isinstance(replies, dict)
        sock.sendall(replies.get(head.split()[1], b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n"))

    answer = from_table if isinstance(replies, dict) else replies
    with https_server(folder, sorted(HOSTS), answer) as server:
        network = Network(server.port)
        yield Site(
            server,
            network,
            ImageFetcher(HOSTS, network.web(server), seconds=5),
        )


def refused(fetcher: ImageFetcher, url: str) -> str:
    with pytest.raises(InvalidInput) as caught:
        fetcher.fetch(url)
    return caught.value.message


def test_a_picture_is_fetched_and_stored_by_its_pixels(tmp_path: Path) -> None:
    with site(tmp_path, {"/a.png?size=8": ok(png())}) as there:
        url = "https://PICS.example.com/a.png?size=8#top"
        taken = take_in({"face": url}, FaceInput, tmp_path, there.fetcher.fetch)

    from_data = take_in({"face": data_url(png())}, FaceInput, tmp_path)
    assert taken == from_data
    assert there.network.connected == [PUBLIC]
    assert there.server.served_names == ["pics.example.com"]
    [head] = there.server.requests
    assert "\r\nHost: pics.example.com\r\n" in head


def test_what_is_no_picture_is_refused_by_field(tmp_path: Path) -> None:
    with (
        site(tmp_path, {"/a": ok(b"<html>")}) as there,
        pytest.raises(InvalidInput, match="not a picture") as caught,
    ):
        take_in({"face": "https://pics.example.com/a"}, FaceInput, tmp_path, there.fetcher.fetch)
    assert caught.value.field == "input.face"


def test_no_host_is_allowed_by_default(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"not fetched from example\.com") as caught:
        take_in({"face": "https://example.com/a.png"}, FaceInput, tmp_path)
    assert "RYLA_PICTURE_HOSTS" in str(caught.value.hint)


@pytest.mark.parametrize(
    "url",
    [
        "http://pics.example.com/a",
        "HTTP://pics.example.com/a",
        "https://pics.example.com:8443/a",
        "https://pics.example.com:x/a",
        "https://pics.example.com:99999/a",
        "https://example.com/a",
        "https://sub.pics.example.com/a",
        "https://pics.example.com.evil.org/a",
        "https://pics.example.com./a",
        "https://evilpics.example.com/a",
        "https://user@pics.example.com/a",
        "https://user:word@pics.example.com/a",
        "https://pics.example.com@evil.org/a",
        "https://evil.org@pics.example.com/a",
        "https://pics.example.com\\@evil.org/a",
        "https://evil.org\\pics.example.com/a",
        "https://evil.org#@pics.example.com/a",
        "https://evil.org?@pics.example.com/a",
        "https://pics.example.com%2eevil.org/a",
        "https://pics.example.com /a",
        "https://pics.example.com/a\r\nHost: evil.org",
        "https://pics.exa\tmple.com/a",
        "https://p\u0131cs.example.com/a",
        "https://pics\u3002example\u3002com/a",
        "https:///a",
        "https:pics.example.com/a",
        "https://[::1]/a",
        "https://[::ffff:127.0.0.1]/a",
        "https://[pics.example.com/a",
        "https://127.0.0.1/a",
        "https://127.1/a",
        "https://2130706433/a",
        "https://0x7f000001/a",
        "https://0177.0.0.1/a",
        "https://0.0.0.0/a",
        "https://0/a",
        "https://localhost/a",
        "https://169.254.169.254/latest/meta-data",
        "https://pics.example.com/" + "a" * 3000,
    ],
)
def test_such_a_url_opens_no_connection(url: str) -> None:
    network = Network()
    refused(ImageFetcher(HOSTS, network.web()), url)

    assert network == Network()


@pytest.mark.parametrize("address", ["127.0.0.1", "10.0.0.1", "169.254.169.254", "::1", ""])
def test_an_address_that_is_not_public_is_not_connected_to(address: str) -> None:
    network = Network(names={"pics.example.com": [address]})
    fetcher = ImageFetcher(HOSTS, network.web())

    assert "public internet" in refused(fetcher, "https://pics.example.com/a")
    assert network.connected == []


@pytest.mark.parametrize("addresses", [[PUBLIC, "10.0.0.1"], ["::1", PUBLIC], []])
def test_one_private_address_among_them_is_enough(addresses: list[str]) -> None:
    network = Network(names={"pics.example.com": addresses})
    fetcher = ImageFetcher(HOSTS, network.web())
    refused(fetcher, "https://pics.example.com/a")

    assert network.connected == []


def test_a_name_is_resolved_once_so_a_second_answer_leads_nowhere(tmp_path: Path) -> None:
    with site(tmp_path, {"/a": ok(png())}) as there:
        answers = iter([[PUBLIC], ["127.0.0.1"]])
        rebinding = replace(
            there.fetcher, web=replace(there.fetcher.web, resolve=lambda host: next(answers))
        )
        assert rebinding.fetch("https://pics.example.com/a") == png()
    assert there.network.connected == [PUBLIC]
    assert next(answers) == ["127.0.0.1"]


def test_the_next_address_is_tried_when_one_does_not_answer(tmp_path: Path) -> None:
    with site(tmp_path, {"/a": ok(png())}) as there:
        there.network.names["pics.example.com"] = ["192.0.66.1", PUBLIC]
        assert there.fetcher.fetch("https://pics.example.com/a") == png()
    assert there.network.connected == ["192.0.66.1", PUBLIC]


def test_the_certificate_must_be_the_hosts(tmp_path: Path) -> None:
    with site(tmp_path, {"/a": ok(png())}) as there:
        fetcher = replace(there.fetcher, hosts=frozenset({"other.example.com"}))
        assert "certificate" in refused(fetcher, "https://other.example.com/a").lower()
    assert there.server.requests == []


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("to", ["/b.png", "https://cdn.example.com/b.png"])
def test_redirects_between_allowed_hosts_are_followed(tmp_path: Path, to: str, status: int) -> None:
    with site(tmp_path, {"/a": redirect(to, status), "/b.png": ok(png())}) as there:
        assert there.fetcher.fetch("https://pics.example.com/a") == png()
    assert len(there.network.resolved) == 2


@pytest.mark.parametrize(
    ("to", "said"),
    [
        ("http://pics.example.com/b", "https alone"),
        ("//evil.org/b", "evil.org"),
        ("https://evil.org/b", "evil.org"),
        ("https://127.0.0.1/b", "127.0.0.1"),
        ("https://user@cdn.example.com/b", "user name"),
        ("file:///etc/passwd", "https alone"),
        ("https://cdn.example.com:22/b", "443"),
    ],
)
def test_redirects_are_checked_like_urls(tmp_path: Path, to: str, said: str) -> None:
    with site(tmp_path, {"/a": redirect(to)}) as there:
        assert said in refused(there.fetcher, "https://pics.example.com/a")
    assert len(there.network.connected) == 1


def test_a_redirect_to_a_host_with_a_private_address_is_not_followed(tmp_path: Path) -> None:
    with site(tmp_path, {"/a": redirect("https://cdn.example.com/b"), "/b": ok(png())}) as there:
        there.network.names["cdn.example.com"] = ["169.254.169.254"]
        assert "public internet" in refused(there.fetcher, "https://pics.example.com/a")
    assert there.network.connected == [PUBLIC]


def test_redirects_end(tmp_path: Path) -> None:
    with site(tmp_path, {"/a": redirect("/a")}) as there:
        assert "redirects" in refused(there.fetcher, "https://pics.example.com/a")
    assert len(there.server.requests) == MAX_REDIRECTS + 1


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n", "403"),
        (b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n", "302"),
        (b"not http at all\r\n\r\n", "no HTTP answer"),
        (b"", "cannot be read"),
        (ok(b"x" * 20, "Content-Encoding: gzip"), "compressed"),
        (ok(b"x" * 101), "more than 100 bytes"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\nx", "more than 100 bytes"),
        (b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 101, "more than 100 bytes"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nx", "broke off"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab", "cannot be read"),
    ],
)
def test_what_is_no_whole_answer_is_refused(tmp_path: Path, reply: bytes, said: str) -> None:
    with site(tmp_path, {"/a": reply}) as there:
        fetcher = replace(there.fetcher, max_bytes=100)
        assert said in refused(fetcher, "https://pics.example.com/a")


@pytest.mark.parametrize("reply", [ok(b"x" * 100), b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 100])
def test_a_picture_of_the_largest_size_is_taken(tmp_path: Path, reply: bytes) -> None:
    with site(tmp_path, {"/a": reply}) as there:
        assert len(replace(there.fetcher, max_bytes=100).fetch("https://pics.example.com/a")) == 100


@pytest.mark.parametrize("first", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n"])
def test_a_server_that_drips_is_left_when_the_time_is_over(tmp_path: Path, first: bytes) -> None:
    def drip(head: str, sock: socket.socket) -> None:
        sock.sendall(first)
        for _ in range(400):
            time.sleep(0.05)
            sock.sendall(b"x")

    with site(tmp_path, drip) as there:
        began = time.monotonic()
        fetcher = replace(there.fetcher, seconds=0.4)
        assert "within 0.4 s" in refused(fetcher, "https://pics.example.com/a")
        assert time.monotonic() - began < 10


TOP = b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n"


@contextmanager
def silent(folder: Path, stage: str) -> Iterator[tuple[ImageFetcher, Event]]:
    """A host that says no more from this stage on, and what tells that it came so far."""
    reached, over = Event(), Event()

    def hang(head: str, sock: socket.socket) -> None:
        if stage == "body":
            sock.sendall(TOP)
        reached.set()
        over.wait(60)

    if stage != "handshake":
        with site(folder, hang) as there:
            try:
                yield there.fetcher, reached
            finally:
                over.set()
        return

    def take(listener: socket.socket) -> None:
        taken, _ = listener.accept()
        with taken:
            reached.set()
            over.wait(60)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        waiting = Thread(target=take, args=(listener,))
        waiting.start()
        try:
            yield ImageFetcher(HOSTS, Network(listener.getsockname()[1]).web()), reached
        finally:
            over.set()
            waiting.join()


@pytest.mark.parametrize("stage", ["handshake", "head", "body"])
def test_a_fetch_that_nobody_waits_for_ends(tmp_path: Path, stage: str) -> None:
    patience = Patience()
    with silent(tmp_path, stage) as (fetcher, reached), ThreadPoolExecutor(1) as pool:
        slow = replace(fetcher, seconds=60)
        fetching = pool.submit(slow.fetch, "https://pics.example.com/a", patience=patience)
        assert reached.wait(30)
        patience.give_up()
        with pytest.raises(PictureAbandoned):  # long before the minute that the host is given here
            fetching.result(timeout=20)


def test_what_nobody_waits_for_any_more_is_not_asked_for(tmp_path: Path) -> None:
    patience = Patience()
    patience.give_up()
    with site(tmp_path, {}) as there:
        with pytest.raises(PictureAbandoned):
            there.fetcher.fetch("https://pics.example.com/a", patience=patience)
        assert there.network.resolved == []
