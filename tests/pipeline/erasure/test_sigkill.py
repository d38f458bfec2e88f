"""`ryla forget` killed by SIGKILL at one request after the other, over the real store."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from config.settings import Settings
from pipeline.contract.keys import export_key, review_key
from pipeline.contract.spend_entry import SPEND
from pipeline.jobs.audit.bucket_audit import Audit
from pipeline.queue.expiry import Lifetimes
from pipeline.store.conditional import listed
from pipeline.store.open import open_store
from tests.support.begun_sheets import put_begun_sheet
from tests.support.erasures import tombstones

pytestmark = [pytest.mark.thorough, pytest.mark.xdist_group("sigkill")]

ROOT = Path(__file__).parents[3]
STRIDE = 7
"""Points between two deaths: each request has one before it and one behind it."""
LIVES = {
    "RYLA_RUNNING_SECONDS": "1",
    "RYLA_RENEW_SECONDS": "0.3",
    "RYLA_FIRST_RENEW_SECONDS": "0.2",
    "RYLA_EXPIRY_MARGIN_SECONDS": "0",
}


def test_the_same_command_goes_on_from_wherever_it_was_killed(
    bucket: Settings, tmp_path: Path
) -> None:
    store = open_store(bucket)
    put_begun_sheet(store.raw)
    for key in (review_key("sheet"), export_key("sheet", "0" * 64)):
        store.create(key, b"{}")
    assert len([*listed(store, "")]) > 8
    command = [sys.executable, "-m", "tests.support.dying_export", str(STRIDE), str(tmp_path / "x")]
    done = subprocess.run(
        [*command, "forget", "--job", "sheet", "--yes"],
        env=os.environ | bucket.environ() | LIVES,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        timeout=300,
        check=True,
    )
    processes = [json.loads(line) for line in done.stdout.splitlines()]
    assert sum(each["died"] for each in processes) > 10
    stays = ("inputs/", SPEND)
    left = [entry.key for entry in listed(store, "") if not entry.key.startswith(stays)]
    assert left == tombstones("sheet")
    audit = Audit(store, Lifetimes.of(bucket))
    audit.run()
    assert audit.tally.named == []
