import fcntl
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.models import part_file
from pipeline.models.part_file import begun, collected, part_of, remove_left
from tests.pipeline.models.conftest import BODY

DOWNLOAD = """
import json, sys, time
from pathlib import Path
from config.models import WeightFile
from pipeline.models.hub import Remote
from pipeline.models.pull import prepare, pull

BODY = bytes(range(256)) * 4096
folder, name = Path(sys.argv[1]), sys.argv[2]

class Meeting:
    "A hub whose first bytes come before, and the others after, both downloads have begun."
    def look(self, weight):
        return Remote(len(BODY), weight.sha256, None)
    def download(self, weight, remote, part, on_bytes):
        with part.open("ab") as file:
            done = file.tell()
            file.write(BODY[done : done + 400_000])
            file.flush()
            (folder / f"{name}.begun").touch()
            while len(list(folder.glob("*.begun"))) < 2:
                time.sleep(0.005)
            file.write(BODY[done + 400_000 :])

weight = WeightFile.model_validate(json.loads(sys.argv[3]))
wanted = prepare([weight], folder / "models", Meeting())
[done] = pull(wanted, Meeting(), lambda *_: None)
print(json.dumps({"sha256": done.sha256, "resumed_at": done.resumed_at}))
"""
SHA256 = hashlib.sha256(BODY).hexdigest()
WEIGHT = {
    "name": "model",
    "folder": "checkpoints",
    "file": "model [1].safetensors",
    "family": "flux",
    "repository": "acme/model",
    "path": "model.safetensors",
    "revision": "c" * 40,
    "bytes": len(BODY),
    "sha256": SHA256,
    "licence": "acme-1.0",
    "commercial_use": True,
}


def test_two_downloads_of_one_second_each_put_the_whole_file_in_place(tmp_path: Path) -> None:
    # A start of 1000 bytes was left: exactly one of the two goes on from there.
    left = part_of(tmp_path / "models" / "checkpoints" / str(WEIGHT["file"]), SHA256[:12])
    left.parent.mkdir(parents=True)
    left.write_bytes(BODY[:1000])
    command = [sys.executable, "-c", DOWNLOAD, str(tmp_path)]
    both = [
        subprocess.Popen([*command, name, json.dumps(WEIGHT)], stdout=subprocess.PIPE)
        for name in ("one", "other")
    ]
    answers = [json.loads(each.communicate(timeout=60)[0]) for each in both]

    assert {each["sha256"] for each in answers} == {SHA256}
    assert sorted(each["resumed_at"] for each in answers) == [0, 1000]
    assert [each.name for each in left.parent.iterdir()] == [WEIGHT["file"]]
    assert left.with_name(str(WEIGHT["file"])).read_bytes() == BODY


@pytest.fixture
def left(tmp_path: Path) -> Path:
    part = part_of(tmp_path / "model", "abc")
    part.write_bytes(b"some")
    return part


def test_what_another_download_still_writes_is_neither_continued_nor_removed(left: Path) -> None:
    mine = part_of(left.with_name("model"), "abc")
    with left.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with collected(mine):
            assert mine.read_bytes() == b""
        remove_left(mine)
    assert left.read_bytes() == b"some"


def test_the_longest_of_what_was_left_is_continued_and_the_rest_removed(left: Path) -> None:
    longer, mine = (part_of(left.with_name("model"), "abc") for _ in range(2))
    longer.write_bytes(b"some more")
    assert begun(mine) == [longer, left]
    with collected(mine):
        assert mine.read_bytes() == b"some more"
        remove_left(mine)  # its own is written, by this download
    assert begun(mine) == [mine]


def test_a_file_system_without_locks_is_no_obstacle(
    left: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(next(iter(part_file.NO_LOCKS)), os.strerror(next(iter(part_file.NO_LOCKS))))

    monkeypatch.setattr("pipeline.models.part_file.fcntl.flock", refuse)
    mine = part_of(left.with_name("model"), "abc")
    with collected(mine):
        assert mine.read_bytes() == b"some"
