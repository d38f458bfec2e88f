import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from config.settings import Settings
from pipeline.store.conditional import SafeStore
from tests.pipeline.cli.conftest import Ryla
from tests.pipeline.cli.leases import running


def test_watching_ends_when_the_jobs_are_finished(ryla: Ryla, write: Callable[..., Path]) -> None:
    ryla("submit", write("a.json"))
    ryla("cancel", "a")
    answer = ryla("watch", "a")

    assert answer.code == 0
    assert "cancelled" in answer.out


def test_watching_ends_with_its_time_and_says_what_is_not_finished(
    ryla: Ryla, store: SafeStore
) -> None:
    store.create("leases/busy.json", running("busy", 0.5, "KSampler").body())
    answer = ryla("watch", "busy", "--for", "0.1")

    assert answer.code == 1
    assert "50% KSampler" in answer.out


def test_for_programs_each_change_is_a_line(ryla: Ryla, store: SafeStore) -> None:
    store.create("leases/busy.json", running("busy", 0.5, "KSampler").body())
    answer = ryla("watch", "busy", "--for", "1.5", "--json")

    [line] = map(json.loads, answer.out.splitlines())
    assert (line["id"], line["state"]) == ("busy", "running")
    assert line["progress"] == {"fraction": 0.5, "step": "KSampler", "views": {}}


def test_without_ids_everything_in_progress_is_watched(ryla: Ryla, store: SafeStore) -> None:
    for id in ("one", "two"):
        store.create(f"leases/{id}.json", running(id, 0, None).body())

    assert ryla("watch", "--for", "0").code == 0
    lines = ryla("watch", "--for", "0", "--json").out.splitlines()
    assert [json.loads(line)["id"] for line in lines] == ["one", "two"]


def test_an_unknown_id_is_not_waited_for(ryla: Ryla) -> None:
    assert ryla("watch", "nobody", "--json").error["code"] == "unknown_job"


def test_ctrl_c_ends_it_without_a_word(bucket: Settings, store: SafeStore) -> None:
    store.create("leases/busy.json", running("busy", 0.5, "KSampler").body())
    with subprocess.Popen(
        [sys.executable, "-c", "from pipeline.cli import main; main()", "watch", "busy", "--json"],
        env={**os.environ, **bucket.environ()},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)

    assert (process.returncode, out, err) == (130, "", "")
