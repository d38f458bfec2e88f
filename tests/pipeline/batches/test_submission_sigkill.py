"""Submissions killed by SIGKILL after each of their writes, on the real store. The same file sent
again makes one batch of them, and each job once."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from config.settings import Settings
from pipeline.batches.batch import require_batch
from pipeline.contract.keys import manifest_key
from pipeline.store.conditional import listed
from pipeline.store.open import open_store
from tests.support.pictures import encoded

ROOT = Path(__file__).parents[3]
WRITES = 8
"""The batch, then for each row its pictures and its manifest."""
TABLE = "character,reference_images\nAnn,a.png\nBob,a.png|b.png\nCleo,b.png\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    for name, shade in (("a", 40), ("b", 90)):
        body = encoded(Image.new("RGB", (64, 64), (shade, 20, 30)))
        (tmp_path / f"{name}.png").write_bytes(body)
    path = tmp_path / "characters.csv"
    path.write_text(TABLE)
    return path


def send(bucket: Settings, file: Path, *points: int) -> list[int]:
    """How many jobs had been sent at each of these points, when it died there."""
    command = [sys.executable, "-m", "tests.support.dying_submission", str(file), "killed"]
    settings = bucket.model_copy(update={"dispatch_threads": 1})
    done = subprocess.run(
        [*command, *map(str, points)],
        env=os.environ | settings.environ(),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        timeout=120,
        check=True,
    )
    return [len(json.loads(line)) for line in done.stdout.splitlines() if line.startswith(b"[")]


def require_whole(bucket: Settings, *points: int) -> None:
    """One batch of each, and each of its jobs once."""
    store = open_store(bucket)
    batches = [f"killed-{point}" for point in points]
    jobs = [row.id for batch in batches for row in require_batch(store, batch).rows]
    waiting = [entry.key for entry in listed(store, "inbox/")]
    adopted = [entry.key for entry in listed(store, "jobs/")]

    assert len(jobs) == 3 * len(points)
    assert sorted(waiting + adopted) == sorted(
        manifest_key(id) if manifest_key(id) in adopted else entry(id) for id in jobs
    )
    assert len([*listed(store, "batches/")]) == len(points)


def entry(id: str) -> str:
    return f"inbox/4.default.character-sheet.{id}.json"


def test_what_a_killed_submission_began_is_one_batch_in_the_end(
    bucket: Settings, file: Path
) -> None:
    assert send(bucket, file, 5) == [1]
    require_whole(bucket, 5)


@pytest.mark.thorough
def test_wherever_it_is_killed_it_is_one_batch_in_the_end(bucket: Settings, file: Path) -> None:
    assert send(bucket, file, *range(1, WRITES + 1)) == [0, 0, 1, 1, 1, 2, 2, 3]
    require_whole(bucket, *range(1, WRITES + 1))
