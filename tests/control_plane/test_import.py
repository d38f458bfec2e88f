"""What importing the app costs: every container does it, and so does each command of `modal`."""

import json
import subprocess
import sys

from tests.support.deployed_app import ROOT

MEASURE = """
import json, sys, time
calls = []
sys.addaudithook(lambda event, args: calls.append(event) if event.startswith("socket.") else None)
began = time.process_time()
import comfyui_ryla
print(json.dumps({"seconds": time.process_time() - began, "sockets": calls}))
"""


def test_import_is_quick_and_touches_no_network() -> None:
    answer = subprocess.run(
        [sys.executable, "-c", MEASURE], cwd=ROOT, capture_output=True, text=True, check=True
    )
    measured = json.loads(answer.stdout)
    assert measured["sockets"] == []
    assert measured["seconds"] < 1.5
