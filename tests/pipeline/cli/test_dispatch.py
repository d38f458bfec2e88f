"""With real worker processes, so the way from a file to a picture is walked once, and whole."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from config.errors import StoreUnavailable
from config.settings import Settings
from pipeline.cli import dispatch
from pipeline.dispatcher.loop import Wakeup
from pipeline.store.conditional import SafeStore
from system.backoff import Backoff
from tests.pipeline.cli.conftest import Ryla


def test_from_a_file_to_a_picture(
    ryla: Ryla, store: SafeStore, write: Callable[..., Path], tmp_path: Path
) -> None:
    write("many/good.json")
    write("many/dear.json", max_cost_usd=0.000001)
    ryla("submit", "many")
    done = ryla("dispatch", "--once", "--json")
    assert done.code == 0, done.err
    assert (done.document["spawned"], done.document["committed"]) == (1, 1)
    assert not store.list("leases/").entries
    assert not store.list("inbox/").entries

    answer = ryla("results", "good", "dear", "--out", "here", "--json")
    good, dear = answer.document["results"]
    assert answer.code == 0
    assert (good["result"]["status"], dear["result"]["status"]) == ("succeeded", "rejected")
    assert dear["result"]["error"]["code"] == "over_budget"
    [output] = good["result"]["outputs"]
    assert sha256((tmp_path / "here/good/image-0.png").read_bytes()).hexdigest() == output["sha256"]
    assert {Path(file).name for file in good["files"]} == {
        "image-0.png",
        "metrics.json",
        "result.json",
    }

    told = [json.loads(line) for line in ryla("events", "--job", "good", "--json").out.splitlines()]
    in_file = [json.loads(line) for line in ryla("events", "--json").out.splitlines()]
    assert [event["event"].rpartition("_")[2] for event in told] == ["requested", "completed"]
    assert all(event in in_file for event in told)
    assert "succeeded" in ryla("submit", "many/good.json", "--wait", "5").out


def test_it_ticks_for_the_time_given(ryla: Ryla) -> None:
    answer = ryla("dispatch", "--for", "1", "--json", RYLA_POLL_ACTIVE_SECONDS="0.05")

    reports = [json.loads(line) for line in answer.out.splitlines()]
    assert answer.code == 0
    assert len(reports) > 1
    assert {report["lists"] for report in reports} == {2}


def test_for_people_only_what_changed_is_said(ryla: Ryla) -> None:
    answer = ryla("dispatch", "--for", "0.3", RYLA_POLL_ACTIVE_SECONDS="0.05")

    [line] = answer.out.splitlines()
    assert line.endswith("idle")


def test_a_bucket_that_is_not_there_stops_it_at_the_start(ryla: Ryla) -> None:
    answer = ryla("dispatch", "--once", "--json", RYLA_BUCKET="no-such-bucket")

    assert answer.code == 1
    assert answer.error["code"] == "store_denied"


def test_ctrl_c_ends_it_and_what_waits_stays(bucket: Settings, store: SafeStore) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", "from pipeline.cli import main; main()", "dispatch", "--json"],
        env={**os.environ, **bucket.environ()},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        began = time.monotonic()
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=20)

    assert (process.returncode, err) == (0, "")
    assert time.monotonic() - began < 10


def opening(monkeypatch: pytest.MonkeyPatch, *answers: SafeStore | Exception) -> None:
    """The store answers so, one after the other, and then always as at the end."""
    left = list(answers)

    def open_checked_store(settings: Settings) -> SafeStore:
        answer = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(dispatch, "open_checked_store", open_checked_store)
    monkeypatch.setattr(dispatch, "STORE_BACKOFF", Backoff(first_s=0.001, longest_s=0.002))


AWAY = StoreUnavailable("nobody answers")


def test_a_store_that_is_away_at_the_start_is_waited_for(
    monkeypatch: pytest.MonkeyPatch, store: SafeStore
) -> None:
    opening(monkeypatch, AWAY, AWAY, AWAY, store)
    with capture_logs() as logs:
        assert dispatch._open_store(Settings(), Wakeup(), None) is store
    assert [each["event"] for each in logs] == ["store_away"] * 3


def test_a_store_that_stays_away_is_an_error_when_the_time_given_is_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    opening(monkeypatch, AWAY)
    for within_s in (0.0, 0.02):
        with pytest.raises(StoreUnavailable):
            dispatch._open_store(Settings(), Wakeup(), within_s)


def test_whoever_waits_for_a_store_can_be_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    opening(monkeypatch, AWAY)
    wakeup = Wakeup()
    wakeup.stop()
    assert dispatch._open_store(Settings(), wakeup, None) is None
