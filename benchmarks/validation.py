"""Checking a graph against the node interfaces, as the dispatcher does for every job. Goal: 5 ms.

python -m benchmarks.validation [--quick]
"""

import statistics
import sys
import time
from collections.abc import Sequence

from config.models import load_models
from handlers.kinds.base import JobRequest
from handlers.kinds.registry import KINDS
from workflows.interfaces import committed
from workflows.validation import require_valid

ROUNDS = 200
PROMPT = {"prompt": "a lighthouse in fog"}
REFERENCE = {**PROMPT, "reference_image": "inputs/" + "0" * 64 + ".png"}
INPUTS = {
    "flux-dev": PROMPT,
    "flux-schnell": PROMPT,
    "flux-lora": {**PROMPT, "lora_id": "muse"},
    "z-image-turbo": PROMPT,
    "sdxl-instantid": REFERENCE,
    "flux-instantid": REFERENCE,
}


def main(arguments: Sequence[str]) -> None:
    rounds = 20 if "--quick" in arguments else ROUNDS
    models, interfaces = load_models(), committed()
    for name, fields in INPUTS.items():
        kind = KINDS[name]
        job = JobRequest("bench", 1, kind.input_model.model_validate(fields), seed=1)
        taken = []
        for _ in range(rounds):
            began = time.perf_counter()
            graphs = kind.graphs(job, models)
            for graph in graphs:
                require_valid(graph, interfaces)
            taken.append(time.perf_counter() - began)
        nodes = sum(len(graph) for graph in graphs)
        median = statistics.median(taken) * 1000
        print(f"{name:16} {nodes:3} nodes  built and checked in {median:.2f} ms (median)")


if __name__ == "__main__":
    main(sys.argv[1:])
