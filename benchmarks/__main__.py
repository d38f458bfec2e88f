"""All benchmarks: python -m benchmarks [--quick]"""

import sys

from benchmarks import api, client, latency, loras, scale, throughput, validation

for benchmark in (client, throughput, latency, scale, loras, validation, api):
    benchmark.main(sys.argv[1:])
