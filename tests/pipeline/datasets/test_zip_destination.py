"""How a zip comes to its place: whole or not at all, whoever dies or writes beside it."""

import hashlib
import io
import json
import os
import subprocess
import sys
import threading
import tracemalloc
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import pytest

from config.errors import OutputInvalid
from config.settings import Settings
from pipeline.contract.keys import export_key
from pipeline.datasets import zip_destination
from pipeline.datasets.export import export_sheet
from pipeline.datasets.zip_destination import sha256_of, store_zip, whole_file
from pipeline.local.seaweed import SeaweedServer
from pipeline.store.base import Always
from pipeline.store.conditional import SafeStore, listed
from pipeline.store.memory import MemoryStore
from pipeline.store.open import open_store
from tests.support.datasets import MODELS, MadeSheet, memory_store, picture_bytes
from tests.support.seaweed import fresh_bucket

BODY = os.urandom(1000)
DIGEST = hashlib.sha256(BODY).hexdigest()
SMALL = {"views": [{"id": "front"}, {"id": "left", "head": {"yaw": -35}}]}


def test_a_file_comes_to_its_name_once_all_of_it_is_written(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "a.zip"
    with whole_file(target) as file:
        file.write(BODY)
        assert not target.exists()
    assert target.read_bytes() == BODY
    assert [*target.parent.iterdir()] == [target]


def test_a_file_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    target = tmp_path / "a.zip"
    target.write_bytes(b"before")

    def breaks() -> None:
        with whole_file(target) as file:
            file.write(BODY)
            raise ValueError("it broke")

    with pytest.raises(ValueError, match="it broke"):
        breaks()
    assert target.read_bytes() == b"before"
    assert [*tmp_path.iterdir()] == [target]


def test_a_part_that_a_killed_process_left_is_taken_over(tmp_path: Path) -> None:
    (tmp_path / ".a.zip.part").write_bytes(bytes(5000))
    with whole_file(tmp_path / "a.zip") as file:
        file.write(BODY)
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [BODY]


def test_two_that_write_at_once_take_turns_and_both_are_whole(tmp_path: Path) -> None:
    target, inside = tmp_path / "a.zip", threading.Event()

    def second() -> None:
        with whole_file(target) as file:
            file.write(b"second")

    with whole_file(target) as file:
        other = threading.Thread(target=second)
        other.start()
        inside.wait(0.05)
        file.write(b"first")
    other.join()
    assert target.read_bytes() == b"second"
    assert [*tmp_path.iterdir()] == [target]


def stored(store: SafeStore, body: bytes = BODY) -> bool:
    with TemporaryFile() as file:
        file.write(body)
        return store_zip(store, "ann", file, *sha256_of(file))


def test_the_bucket_gets_it_once() -> None:
    store = memory_store()
    assert stored(store)
    assert not stored(store)
    [entry] = listed(store, "exports/")
    assert (entry.key, entry.size) == (export_key("ann", DIGEST), len(BODY))


@pytest.mark.parametrize("other", [b"", b"short", bytes(len(BODY)), BODY + b"more"])
def test_other_bytes_by_its_name_are_an_error(other: bytes) -> None:
    store = memory_store()
    store.raw.put(export_key("ann", DIGEST), other, Always())
    with pytest.raises(OutputInvalid, match="other bytes"):
        stored(store)


def test_what_stands_there_is_compared_part_by_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zip_destination, "PART_BYTES", 300)
    store = memory_store()
    assert stored(store)
    assert not stored(store)
    store.raw.put(export_key("ann", DIGEST), BODY[:-1] + bytes([BODY[-1] ^ 1]), Always())
    with pytest.raises(OutputInvalid):
        stored(store)


def test_the_length_and_digest_of_a_file_are_of_all_of_it() -> None:
    assert sha256_of(io.BytesIO(BODY)) == (DIGEST, len(BODY))


@pytest.fixture
def bucket(seaweed: SeaweedServer, tmp_path: Path) -> Settings:
    return fresh_bucket(seaweed, tmp_path / "state")


def killed(bucket: Settings, stride: int, target: Path, *arguments: str) -> list[Any]:
    bucket.state_dir.mkdir(exist_ok=True)
    process = subprocess.run(
        [sys.executable, "-m", "tests.support.dying_export", str(stride), str(target), *arguments],
        env={**os.environ, **bucket.environ(), "RYLA_LOG_LEVEL": "warning"},
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
    )
    return [json.loads(line) for line in process.stdout.splitlines()]


@pytest.mark.parametrize("stride", [40, pytest.param(1, marks=pytest.mark.thorough)])
def test_a_process_that_is_killed_anywhere_leaves_no_half_file_and_the_next_makes_the_same(
    bucket: Settings, tmp_path: Path, stride: int
) -> None:
    store = open_store(bucket)
    MadeSheet(input=SMALL).put(store)
    unharmed = export_sheet(store, "ann", MODELS, tmp_path / "unharmed.zip").sha256
    target = tmp_path / "out" / "a.zip"
    runs = killed(bucket, stride, target, "sheets", "export", "ann", "--out", str(target))
    assert len(runs) > 50 // stride
    assert {run["sha256"] for run in runs} <= {None, unharmed}
    assert not runs[-1]["died"]
    assert [path.name for path in target.parent.iterdir()] == ["a.zip"]
    assert hashlib.sha256(target.read_bytes()).hexdigest() == unharmed


@pytest.mark.thorough
def test_a_process_that_is_killed_anywhere_leaves_one_object_in_the_bucket(
    bucket: Settings, tmp_path: Path
) -> None:
    store = open_store(bucket)
    MadeSheet(input=SMALL).put(store)
    unharmed = export_sheet(store, "ann", MODELS, tmp_path / "unharmed.zip")
    runs = killed(bucket, 1, tmp_path / "no.zip", "sheets", "export", "ann")
    assert len(runs) > 30
    [entry] = listed(store, "exports/")
    assert (entry.key, entry.size) == (export_key("ann", unharmed.sha256), unharmed.bytes)


class OnePicture(MemoryStore):
    """Whose pictures are all one, however many there are: a bucket that is larger than memory."""

    def __init__(self, body: bytes) -> None:
        super().__init__()
        self.body = body

    def get(self, key: str, **part: Any) -> Any:
        found = super().get(key, **part)
        if not key.endswith(".png") or found is None:
            return found
        body = self.body[: part.get("limit")]
        return type(found)(body, len(self.body), found.etag, found.last_modified, found.date)

    def put(self, key: str, body: bytes, *more: Any, **options: Any) -> Any:
        return super().put(key, b"" if key.endswith(".png") else body, *more, **options)


@pytest.mark.parametrize("picture", [2**20, pytest.param(20 * 2**20, marks=pytest.mark.thorough)])
def test_memory_holds_a_few_pictures_of_however_many(tmp_path: Path, picture: int) -> None:
    plain = picture_bytes("front", (512, 512))
    body = plain + bytes(picture - len(plain))
    views = [{"id": f"v{number}"} for number in range(1, 29)]
    sheet = MadeSheet(input={"views": views}, bodies={view["id"]: body for view in views})
    store = SafeStore(OnePicture(body))
    sheet.put(store)
    tracemalloc.start()
    try:
        made = export_sheet(store, "ann", MODELS, tmp_path / "a.zip")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert made.bytes > 28 * picture
    assert peak < 4 * picture + 6 * 2**20
