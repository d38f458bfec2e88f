"""What the ComfyUI client adds to a prompt: the time of its run, less what the stand-in's own
history says of the execution. Reading the picture is part of it."""

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path
from uuid import uuid4

import httpx

from benchmarks.setting import goal, machine, percentile, title
from config.models import load_models
from handlers.comfyui.client import ComfyClient
from handlers.comfyui.process import ComfyProcess
from handlers.comfyui.standin import standin_folder
from handlers.kinds.registry import KINDS
from pipeline.contract.manifest import parse_manifest
from pipeline.inputs.supplies import job_request
from tests.support.manifests import body
from workflows.graph import Graph

GOAL_MS = 15.0
SIZE = 512


def graph_of(id: str) -> Graph:
    manifest = parse_manifest(body(input={"width": SIZE, "height": SIZE, "steps": 20}))
    (graph,) = KINDS[manifest.model].graphs(job_request(id, 1, manifest), load_models())
    return graph


def executed_ms(history: httpx.Client, prompt_id: str) -> float:
    entry = history.get(f"/history/{prompt_id}").json()[prompt_id]
    at = {name: data["timestamp"] for name, data in entry["status"]["messages"]}
    return float(at["execution_success"] - at["execution_start"])


def overheads(client: ComfyClient, history: httpx.Client, prompts: int) -> list[float]:
    """Milliseconds, one for each prompt."""
    found = []
    for n in range(prompts):
        prompt_id, graph = str(uuid4()), graph_of(f"job-{n}").api()
        began = time.perf_counter()
        client.run(graph, prompt_id=prompt_id, deadline_s=60)
        took_ms = (time.perf_counter() - began) * 1000
        found.append(took_ms - executed_ms(history, prompt_id))
    return found


def measure(*, prompts: int) -> None:
    title(f"The client's overhead a prompt, in ms ({machine()})")
    with tempfile.TemporaryDirectory(prefix="ryla-bench-") as folder:
        process = ComfyProcess(
            standin_folder(),
            work_dir=Path(folder),
            environ=os.environ,
            flags=("--step-seconds", "0"),
        )
        with process, httpx.Client(base_url=process.url, trust_env=False) as history:
            for how, outputs in (("from its folder", process.output_folder), ("over /view", None)):
                with ComfyClient(process.url, output_folder=outputs) as client:
                    overheads(client, history, 3)
                    found = overheads(client, history, prompts)
                print(
                    f"{prompts} pictures of {SIZE}x{SIZE} read {how}: median"
                    f" {statistics.median(found):.1f}, 95 % under {percentile(found, 0.95):.1f}"
                )
                goal(f"under {GOAL_MS:g} ms", met=statistics.median(found) < GOAL_MS)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer prompts")
    options = parser.parse_args(arguments)
    measure(prompts=20 if options.quick else 100)


if __name__ == "__main__":
    main()
