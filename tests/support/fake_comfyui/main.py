"""Stands where ComfyUI's main.py would: takes the same arguments, replays a recorded session."""

import argparse
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3]))

from tests.support.recordings import recording
from tests.support.replay_server import Faults, ReplayServer

parser = argparse.ArgumentParser()
for name in ("listen", "database-url", "extra-model-paths-config"):
    parser.add_argument(f"--{name}")
for name in ("input", "output", "temp", "user"):
    parser.add_argument(f"--{name}-directory", type=Path, required=True)
parser.add_argument("--port", type=int, required=True)
parser.add_argument("--mode", default="well")
parser.add_argument("--disable-metadata", action="store_true")
options = parser.parse_args()

for folder in (options.input_directory, options.output_directory, options.user_directory):
    if not folder.is_dir():
        sys.exit(f"no folder {folder}")
seen = {"environ": dict(os.environ), "argv": sys.argv, "cwd": str(Path.cwd())}
(options.user_directory / "seen.json").write_text(json.dumps(seen))
sys.stderr.write("Total VRAM 24106 MB\n| Active allocs |    0 |\n\r 10%|#\r 20%|##\n")

if options.mode == "exit":
    sys.exit("RuntimeError: no kernel image is available")
if options.mode == "exit-advised":
    sys.exit("torch.AcceleratorError: CUDA error: out of memory\nFor debugging consider waiting.")
if options.mode == "exit-coloured":
    sys.exit("\x1b[1m\x1b[31m[ERROR]\x1b[0m RuntimeError: no GPU\n\x1b[32m[INFO]\x1b[0m bye")
if options.mode == "hang":
    threading.Event().wait()
if options.mode == "stubborn":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    helper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    (options.user_directory / "helper").write_text(str(helper.pid))
faults = Faults(stall_after=8)
if options.mode == "nonsense":
    faults.garbage["/system_stats"] = (200, b"It works!")
with ReplayServer(recording("flux_new_seed"), faults, options.port):
    sys.stderr.write("To see the GUI go to: http://127.0.0.1\n")
    threading.Event().wait()
