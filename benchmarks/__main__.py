"""All benchmarks: python -m benchmarks [--quick]"""

import sys

from benchmarks import (
    api,
    audit,
    client,
    delivery,
    latency,
    loras,
    order,
    scale,
    throughput,
    validation,
)

ALL = (client, throughput, latency, delivery, order, scale, loras, validation, api, audit)

for benchmark in ALL:
    benchmark.main(sys.argv[1:])
