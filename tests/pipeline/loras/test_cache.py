import hashlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from threading import Barrier, Thread

import pytest

from config.errors import LoraUnreadable
from pipeline.loras.bucket import Found, Replaced
from pipeline.loras.cache import GRACE_S, USE_NOTED_S, LocalFolder, LoraCache, VolumeBusy, evict
from tests.support.volumes import Mount, files_in

NOON = 1_800_000_000.0


class Downloads:
    """Objects by key; counts how often each is pulled."""

    def __init__(self, **bodies: bytes) -> None:
        self.bodies = bodies
        self.pulled: list[str] = []

    def found(self, key: str) -> Found:
        body = self.bodies[key]
        etag = hashlib.md5(body, usedforsecurity=False).hexdigest()
        return Found(key, etag, len(body), datetime(2026, 11, 20, tzinfo=UTC))

    def __call__(self, found: Found) -> Iterator[bytes]:
        self.pulled.append(found.key)
        body = self.bodies[found.key]
        yield body[:3]
        yield body[3:]


def at(time: float) -> Callable[[], float]:
    return lambda: time


def local(tmp_path: Path, **options: int) -> LoraCache:
    folder, spare = LocalFolder(tmp_path / "volume"), tmp_path / "spare"
    return LoraCache(folder, spare, clock=at(NOON), **options)


def files(folder: Path) -> set[str]:
    return {path.name for path in files_in(folder) if path.parts[0] == "files"}


def name_of(body: bytes) -> str:
    return f"{hashlib.sha256(body).hexdigest()}.safetensors"


def test_a_file_is_pulled_once_and_kept_under_its_sha256(tmp_path: Path) -> None:
    downloads = Downloads(a=b"lora a")
    first = local(tmp_path).fetch(downloads.found("a"), downloads)
    again = local(tmp_path).fetch(downloads.found("a"), downloads)
    assert downloads.pulled == ["a"]
    assert (first.downloaded, again.downloaded) == (True, False)
    assert first.path == again.path == tmp_path / "volume" / "files" / name_of(b"lora a")
    assert first.path.read_bytes() == b"lora a"
    assert (first.sha256, first.bytes) == (hashlib.sha256(b"lora a").hexdigest(), 6)
    assert not any((tmp_path / "volume" / "part").iterdir())


def test_a_replaced_object_is_pulled_anew(tmp_path: Path) -> None:
    downloads = Downloads(a=b"before")
    local(tmp_path).fetch(downloads.found("a"), downloads)
    downloads.bodies["a"] = b"after!"
    kept = local(tmp_path).fetch(downloads.found("a"), downloads)
    assert kept.downloaded
    assert kept.path.read_bytes() == b"after!"


def test_a_damaged_file_is_pulled_anew(tmp_path: Path) -> None:
    downloads = Downloads(a=b"lora a")
    kept = local(tmp_path).fetch(downloads.found("a"), downloads)
    kept.path.write_bytes(b"lor")
    assert local(tmp_path).fetch(downloads.found("a"), downloads).path.read_bytes() == b"lora a"
    next((tmp_path / "volume" / "index").iterdir()).write_bytes(b"{}")
    assert local(tmp_path).fetch(downloads.found("a"), downloads).downloaded


def test_a_download_that_breaks_leaves_nothing(tmp_path: Path) -> None:
    downloads = Downloads(a=b"lora a")

    def broken(found: Found) -> Iterator[bytes]:
        yield b"lo"
        raise ConnectionError

    with pytest.raises(ConnectionError):
        local(tmp_path).fetch(downloads.found("a"), broken)
    assert files_in(tmp_path) == set()
    assert local(tmp_path).fetch(downloads.found("a"), downloads).downloaded


def test_a_download_of_another_length_is_not_kept(tmp_path: Path) -> None:
    found = Downloads(a=b"lora a").found("a")
    with pytest.raises(Replaced):
        local(tmp_path).fetch(found, Downloads(a=b"longer than listed"))
    assert files_in(tmp_path) == set()


def test_a_file_beyond_the_limit_is_refused_before_it_is_pulled(tmp_path: Path) -> None:
    downloads = Downloads(a=b"lora a")
    with pytest.raises(LoraUnreadable, match="6 bytes, the limit is 5"):
        local(tmp_path, max_file_bytes=5).fetch(downloads.found("a"), downloads)
    assert downloads.pulled == []


def comfy(tmp_path: Path, name: str) -> tuple[Mount, LoraCache]:
    mount = Mount(tmp_path / "origin", tmp_path / name / "volume")
    return mount, LoraCache(mount, tmp_path / name / "spare", clock=at(NOON))


def test_a_second_worker_sees_zero_downloads(tmp_path: Path) -> None:
    downloads = Downloads(a=b"lora a")
    _, first = comfy(tmp_path, "one")
    _, second = comfy(tmp_path, "two")
    first.fetch(downloads.found("a"), downloads)
    kept = second.fetch(downloads.found("a"), downloads)
    assert downloads.pulled == ["a"]
    assert not kept.downloaded
    assert kept.path.is_relative_to(tmp_path / "two")


def test_two_machines_that_pull_at_once_both_end_with_the_file(tmp_path: Path) -> None:
    downloads = Downloads(a=b"lora a", b=b"lora b")
    _, one = comfy(tmp_path, "one")
    _, two = comfy(tmp_path, "two")

    def meanwhile(found: Found) -> Iterator[bytes]:
        two.fetch(downloads.found("a"), downloads)
        two.fetch(downloads.found("b"), downloads)
        return downloads(found)

    kept = one.fetch(downloads.found("a"), meanwhile)
    assert kept.path.read_bytes() == b"lora a"
    _, third = comfy(tmp_path, "three")
    assert not third.fetch(downloads.found("a"), downloads).downloaded
    assert not third.fetch(downloads.found("b"), downloads).downloaded


def test_a_volume_that_cannot_be_reloaded_is_not_written_to(tmp_path: Path) -> None:
    downloads = Downloads(a=b"lora a", b=b"lora b")
    mount, cache = comfy(tmp_path, "one")
    cache.fetch(downloads.found("b"), downloads)
    mount.file_open = True
    before = files_in(mount.folder)
    kept = cache.fetch(downloads.found("a"), downloads)
    assert kept.path.is_relative_to(tmp_path / "one" / "spare")
    assert files_in(mount.folder) == before
    assert not cache.fetch(downloads.found("a"), downloads).downloaded
    assert not cache.fetch(downloads.found("b"), downloads).downloaded


def test_threads_of_one_worker_pull_at_once(tmp_path: Path) -> None:
    downloads, barrier = Downloads(a=b"lora a"), Barrier(8)
    paths: list[Path] = []

    def fetch() -> None:
        barrier.wait()
        paths.append(local(tmp_path).fetch(downloads.found("a"), downloads).path)

    threads = [Thread(target=fetch) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(paths) == 8
    assert {path.read_bytes() for path in paths} == {b"lora a"}
    assert files(tmp_path / "volume") == {name_of(b"lora a")}


PULL = """
import sys, time
from datetime import UTC, datetime
from pathlib import Path
from pipeline.loras.bucket import Found
from pipeline.loras.cache import LocalFolder, LoraCache

folder = Path(sys.argv[1])
body = bytes(range(256)) * 40_000

def download(found):
    print("pulling", flush=True)
    sys.stdin.readline()
    for n in range(0, len(body), 100_000):
        yield body[n:n + 100_000]

found = Found("a", "etag", len(body), datetime.now(UTC))
kept = LoraCache(LocalFolder(folder), folder / "spare").fetch(found, download)
print(kept.downloaded, kept.path.read_bytes() == body, flush=True)
"""


def test_two_processes_pull_the_same_file_at_once(tmp_path: Path) -> None:
    both = [
        subprocess.Popen(
            [sys.executable, "-c", PULL, str(tmp_path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    for process in both:
        assert process.stdout is not None
        assert process.stdout.readline() == "pulling\n"
    for process in both:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    assert [process.communicate(timeout=60)[0] for process in both] == ["True True\n"] * 2
    assert len(files(tmp_path)) == 1


def filled(tmp_path: Path, *names: str) -> tuple[LocalFolder, Downloads]:
    """10-byte files, each used an hour after the one before."""
    folder = LocalFolder(tmp_path / "volume")
    downloads = Downloads(**{name: name.encode() * 10 for name in names})
    for hour, name in enumerate(names):
        cache = LoraCache(folder, tmp_path / "spare", clock=at(NOON + 3600 * hour))
        cache.fetch(downloads.found(name), downloads)
    return folder, downloads


def test_eviction_takes_the_longest_unused_until_the_rest_fits(tmp_path: Path) -> None:
    folder, downloads = filled(tmp_path, "a", "b", "c", "d")
    cache = LoraCache(folder, tmp_path / "spare", clock=at(NOON + 86_400))
    cache.fetch(downloads.found("a"), downloads)
    gone = evict(folder, 25, now=NOON + 2 * 86_400)
    assert gone == [hashlib.sha256(each * 10).hexdigest() for each in (b"b", b"c")]
    assert files(folder.folder) == {name_of(b"a" * 10), name_of(b"d" * 10)}
    downloads.pulled.clear()
    assert cache.fetch(downloads.found("b"), downloads).downloaded
    assert not cache.fetch(downloads.found("a"), downloads).downloaded


def test_eviction_within_the_limit_does_nothing(tmp_path: Path) -> None:
    folder, _ = filled(tmp_path, "a", "b")
    before = files_in(folder.folder)
    assert evict(folder, 20, now=NOON + 86_400) == []
    assert files_in(folder.folder) == before


def test_eviction_spares_what_may_be_in_use_even_beyond_the_limit(tmp_path: Path) -> None:
    folder, _ = filled(tmp_path, "a", "b")
    assert evict(folder, 0, now=NOON + 3600 + GRACE_S - 1) == [
        hashlib.sha256(b"a" * 10).hexdigest()
    ]


def test_eviction_clears_its_traces_and_what_killed_workers_left(tmp_path: Path) -> None:
    folder, _ = filled(tmp_path, "a")
    old, new = folder.folder / "part" / "old", folder.folder / "part" / "new"
    for path, age in ((old, 2 * GRACE_S), (new, 0)):
        path.write_bytes(b"half")
        os.utime(path, (NOON + 86_400 - age,) * 2)
    evict(folder, 0, now=NOON + 86_400)
    assert files_in(folder.folder) == {Path("part/new")}


def test_an_eviction_is_seen_by_workers_once_they_reload(tmp_path: Path) -> None:
    downloads = Downloads(a=b"lora a")
    mount, worker = comfy(tmp_path, "worker")
    worker.fetch(downloads.found("a"), downloads)
    owner, _ = comfy(tmp_path, "owner")
    evict(owner, 0, now=NOON + 86_400)
    assert not worker.fetch(downloads.found("a"), downloads).downloaded
    mount.reload()
    assert worker.fetch(downloads.found("a"), downloads).downloaded


def test_a_use_on_one_machine_counts_for_an_owner_on_another(tmp_path: Path) -> None:
    downloads = Downloads(a=b"lora a", b=b"lora b")
    mount, worker = comfy(tmp_path, "worker")
    worker.fetch(downloads.found("a"), downloads)
    worker.fetch(downloads.found("b"), downloads)
    later = LoraCache(mount, tmp_path / "spare", clock=at(NOON + 3600))
    assert not later.fetch(downloads.found("a"), downloads).downloaded
    owner, _ = comfy(tmp_path, "owner")
    assert evict(owner, 6, now=NOON + 86_400) == [hashlib.sha256(b"lora b").hexdigest()]


def test_eviction_of_a_busy_volume_is_put_off(tmp_path: Path) -> None:
    owner, _ = comfy(tmp_path, "owner")
    owner.file_open = True
    with pytest.raises(VolumeBusy):
        evict(owner, 0, now=NOON)


def test_uses_are_noted_now_and_then_only(tmp_path: Path) -> None:
    folder, downloads = filled(tmp_path, "a")
    note = next((folder.folder / "used").iterdir())
    for later, noted in ((USE_NOTED_S - 1, NOON), (USE_NOTED_S, NOON + USE_NOTED_S)):
        cache = LoraCache(folder, tmp_path / "spare", clock=at(NOON + later))
        cache.fetch(downloads.found("a"), downloads)
        assert float(note.read_text()) == noted
