import subprocess
import sys
from pathlib import Path

import pytest

from events.file_sink import FileSink, read_events
from events.sink import NotDelivered
from tests.events.builders import completed, scores

WRITER = """
import sys
from pathlib import Path
from events.file_sink import FileSink
from tests.events.builders import scores

for job in range(40):
    FileSink(Path(sys.argv[1])).deliver(scores(f"{sys.argv[2]}-{job}", 25))
"""


def test_batches_of_several_processes_stay_whole(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(path), name]) for name in "abc"]
    assert [writer.wait(timeout=60) for writer in writers] == [0, 0, 0]
    lines = path.read_text().splitlines()
    assert len(lines) == 3 * 40 * 25

    uuids = [event.uuid for event in read_events(path)]
    assert len(uuids) == len(lines)
    for name in "abc":
        for job in range(40):
            batch = [event.uuid for event in scores(f"{name}-{job}", 25)]
            start = uuids.index(batch[0])
            assert uuids[start : start + 25] == batch


def test_half_a_line_costs_no_later_event(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    FileSink(path).deliver([completed("j1")])
    with path.open("a") as file:
        file.write(completed("j2").model_dump_json()[:40])
    FileSink(path).deliver([completed("j3")])
    assert list(read_events(path)) == [completed("j1"), completed("j3")]


def test_blank_lines_and_bytes_that_are_no_text_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(b"\n\xff\xfe\n[]\n" + completed("j1").model_dump_json().encode())
    assert list(read_events(path)) == [completed("j1")]


def test_a_file_that_is_not_there_yet_has_no_events(tmp_path: Path) -> None:
    assert list(read_events(tmp_path / "events.jsonl")) == []


def test_a_file_that_cannot_be_written_is_not_delivered(tmp_path: Path) -> None:
    (tmp_path / "blocked").write_text("a file where a folder is needed")
    with pytest.raises(NotDelivered):
        FileSink(tmp_path / "blocked" / "events.jsonl").deliver([completed("j1")])
    with pytest.raises(NotDelivered):
        FileSink(tmp_path).deliver([completed("j1")])
