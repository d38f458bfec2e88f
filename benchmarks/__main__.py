"""All benchmarks: python -m benchmarks [--quick]"""

import sys

from benchmarks import (
    api,
    audit,
    client,
    delivery,
    finished,
    latency,
    loras,
    order,
    scale,
    throughput,
    validation,
    worker_time,
)

ALL = (
    client,
    worker_time,
    throughput,
    latency,
    delivery,
    order,
    scale,
    finished,
    loras,
    validation,
    api,
    audit,
)

for benchmark in ALL:
    benchmark.main(sys.argv[1:])
