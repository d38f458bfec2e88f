"""`ryla sheets submit` in processes that end as by SIGKILL after their n-th write, each followed
by one that lives.

python -m tests.support.dying_submission FILE BATCH N…      (settings in the environment)

The batches are BATCH-n. All are forked from one process, which imports the pipeline once. It writes
a line of JSON for each n: the batch's inbox entries when that process had died. The first of them
is then adopted, as by a dispatcher.
"""

import json
import os
import signal
import sys

from config.settings import Settings, load_settings
from pipeline.cli import sheets_submit
from pipeline.cli.app import app
from pipeline.cli.commands import load
from pipeline.contract.keys import manifest_key
from pipeline.runtime import load_runtime
from pipeline.store.base import Condition, Written
from pipeline.store.conditional import SafeStore, listed
from pipeline.store.open import open_store
from pipeline.store.s3 import S3Store


class DyingStore(S3Store):
    left = 0
    """Writes until the end; below 1 it never comes."""

    def put(
        self, key: str, body: bytes, condition: Condition, content_type: str = "application/json"
    ) -> Written:
        written = super().put(key, body, condition, content_type)
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return written


def submit(writes: int, file: str, batch: str) -> None:
    def open_dying(settings: Settings) -> SafeStore:
        dying = DyingStore(settings)
        dying.left = writes
        return SafeStore(dying, conditional_delete=None)

    vars(sheets_submit)["open_store"] = open_dying
    app(["sheets", "submit", file, "--name", batch, "--yes"])


def main(file: str, batch: str, points: list[int]) -> None:
    load("sheets")
    load_runtime(load_settings(os.environ), "local")
    look_and_adopt(batch)
    for number in points:
        name = f"{batch}-{number}"
        status = forked(number, file, name)
        if not os.WIFSIGNALED(status) or os.WTERMSIG(status) != signal.SIGKILL:
            sys.exit(f"it should have died after write {number}")
        sys.stdout.write(json.dumps(look_and_adopt(name)) + "\n")
        sys.stdout.flush()
        if forked(0, file, name) != 0:
            sys.exit(f"{name} could not be continued")


def forked(writes: int, file: str, batch: str) -> int:
    """How the process ended, as `os.waitpid` says it."""
    child = os.fork()
    if child == 0:
        submit(writes, file, batch)
    return os.waitpid(child, 0)[1]


def look_and_adopt(batch: str) -> list[str]:
    store = open_store(load_settings(os.environ))
    keys = [entry.key for entry in listed(store, f"inbox/4.default.character-sheet.{batch}-")]
    for key in keys[:1]:
        stored = store.get(key)
        assert stored is not None
        store.create(manifest_key(key.removesuffix(".json").rpartition(".")[2]), stored.body)
        store.delete(key)
    return keys


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], [int(each) for each in sys.argv[3:]])
