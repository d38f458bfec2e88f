"""All benchmarks: python -m benchmarks [--quick]"""

import sys

from benchmarks import api, audit, client, latency, loras, scale, throughput, validation

for benchmark in (client, throughput, latency, scale, loras, validation, api, audit):
    benchmark.main(sys.argv[1:])
