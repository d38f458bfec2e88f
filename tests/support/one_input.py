"""Runs one input as Modal's container runner does: in the main thread, with Python's own handler of
SIGINT, and the exit method called with the signal ignored, however the input ended.

    python -m tests.support.one_input WORK_DIR < ref.json
"""

import json
import os
import signal
import sys
from pathlib import Path

from config.settings import load_settings
from pipeline.worker.worker import Worker
from system.process_start import born_at


def main(work_dir: str) -> None:
    settings = load_settings(os.environ)
    worker = Worker(
        settings,
        "Flux",
        platform="test",
        environ=os.environ,
        work_dir=Path(work_dir),
        born=born_at(),
    )
    worker.load()
    worker.attach()
    try:
        ended = worker.run(json.load(sys.stdin), "call-1")["ending"]
    except KeyboardInterrupt:
        ended = "interrupted"
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    worker.close()
    sys.stdout.write(ended)


if __name__ == "__main__":
    main(sys.argv[1])
