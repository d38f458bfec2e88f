import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from config.settings import Settings
from pipeline.store.conditional import SafeStore
from tests.pipeline.cli.conftest import Ryla
from tests.pipeline.cli.leases import running


def test_nothing_yet_is_said_so(bare_ryla: Ryla) -> None:
    answer = bare_ryla("events")

    assert answer.code == 0
    assert "nothing ran yet" in answer.err
    assert "they go to PostHog" in bare_ryla("events", RYLA_POSTHOG_API_KEY="phc_x").err


def test_they_are_printed_from_their_file_without_a_bucket(
    ryla: Ryla, bare_ryla: Ryla, bucket: Settings, write: Callable[..., Path]
) -> None:
    ryla("submit", write("a.json", tenant="acme"))
    ryla("cancel", "a")
    table = bare_ryla("events", "--state-dir", bucket.state_dir).out
    lines = bare_ryla("events", "--state-dir", bucket.state_dir, "--json").out.splitlines()

    assert "modal_flux_dev_generation_cancelled  acme" in table
    assert [json.loads(line)["event"] for line in lines] == [
        "modal_flux_dev_generation_requested",
        "modal_flux_dev_generation_cancelled",
    ]


def test_those_of_a_job_come_from_its_result_or_lease(
    ryla: Ryla, store: SafeStore, write: Callable[..., Path]
) -> None:
    ryla("submit", write("a.json"), write("b.json"))
    ryla("cancel", "a")
    ended = ryla("events", "--job", "a", "--json").out.splitlines()
    waiting = ryla("events", "--job", "b", "--json")
    store.create("leases/c.json", running("c", 0, None).body())
    held = ryla("events", "--job", "c", "--json")

    assert len(ended) == 2
    assert (waiting.code, waiting.out) == (held.code, held.out) == (0, "")
    assert ryla("events", "--job", "nobody", "--json").error["code"] == "unknown_job"


def test_following_prints_what_comes(
    ryla: Ryla, bucket: Settings, write: Callable[..., Path]
) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", "from pipeline.cli import main; main()", "events", "-f", "--json"],
        env={**os.environ, **bucket.environ()},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        ryla("submit", write("a.json"), write("b.json"))
        ryla("cancel", "a")
        assert process.stdout is not None
        first = [json.loads(process.stdout.readline()) for _ in range(2)]
        ryla("cancel", "b")
        then = [json.loads(process.stdout.readline()) for _ in range(2)]
        process.terminate()

    assert [event["event"].rpartition("_")[2] for event in first + then] == [
        "requested",
        "cancelled",
        "requested",
        "cancelled",
    ]
