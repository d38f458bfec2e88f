"""An app with a class of a route's name that notes what it was given."""

import json
import os
from pathlib import Path
from typing import Any

import modal

app = modal.App("routes")


@app.cls(
    image=modal.Image.debian_slim(python_version="3.11"),
    gpu=["L40S", "H100"],
    secrets=[modal.Secret.from_name("routes", required_keys=["DIARY"])],
)
class Flux:
    @modal.method()
    def run(self, payload: dict[str, Any]) -> None:
        noted = {"payload": payload, "call_id": modal.current_function_call_id()}
        (Path(os.environ["DIARY"]) / f"{payload['id']}.json").write_text(json.dumps(noted))
